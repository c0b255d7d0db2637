// SPDX-License-Identifier: Apache-2.0

// Command console is a sample workload for logs and commands: it prints numbered lines, ends with codes, copies its input, and tells what
// terminal it has.
package main

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/term"
)

const usage = `usage: console VERB
  count MS         print "line N" every so many milliseconds, for ever
  exit CODE TEXT   print TEXT, and "error TEXT" to standard error, and end with CODE
  cat              copy standard input to standard output
  tty              print the size of the terminal, now and on change, until interrupted
  flood            print as much as is read
  wait             print "waiting" and wait, whatever signal but SIGKILL comes
`

func main() {
	if err := do(append(os.Args[1:], "", "")); err != nil {
		fmt.Fprintln(os.Stderr, "console:", err)
		os.Exit(1)
	}
}

func do(args []string) error {
	switch number, err := strconv.Atoi(args[1]); args[0] {
	case "count":
		if err != nil || number < 1 {
			return fmt.Errorf("%q is no number of milliseconds", args[1])
		}
		tick := time.NewTicker(time.Duration(number) * time.Millisecond)
		for n := 0; ; n++ {
			fmt.Println("line", n)
			<-tick.C
		}
	case "exit":
		fmt.Println(args[2])
		fmt.Fprintln(os.Stderr, "error", args[2])
		os.Exit(number)
	case "cat":
		_, err := io.Copy(os.Stdout, os.Stdin)
		return err
	case "tty":
		changed := make(chan os.Signal, 1)
		signal.Notify(changed, syscall.SIGWINCH)
		for {
			w, h, err := term.GetSize(0)
			if err != nil {
				return err
			}
			fmt.Printf("size %d×%d\n", w, h)
			<-changed
		}
	case "flood":
		for line := make([]byte, 4096); ; {
			if _, err := os.Stdout.Write(line); err != nil {
				return err
			}
		}
	case "wait":
		signal.Ignore(syscall.SIGTERM, syscall.SIGHUP, syscall.SIGINT)
		fmt.Println("waiting")
		for {
			time.Sleep(time.Hour)
		}
	}
	fmt.Fprint(os.Stderr, usage)
	os.Exit(2)
	return nil
}
