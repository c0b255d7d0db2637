// SPDX-License-Identifier: Apache-2.0

// Package blocks owns the command blocks of this repository's documents: it reads them out of Markdown files and types them
// into a shell, word for word, as somebody would who follows the page. Tests of documents are made of it.
//
// A command block is fenced, its first line says "sh" and an id that is unique in its file. What is not to be typed is fenced
// as "text" (or as what it is: json, yaml):
//
//	```sh start
//	sudo NetManager -p 6000 &
//	sudo NodeEngine -n 6000 -p 10100 -a <ADDRESS OF THE CLUSTER ORCHESTRATOR> &
//	```
//
// Words in capitals between angle brackets are places to fill in; a shell refuses a block with one that its caller has not filled.
//
//	shell := blocks.Shell{Prefix: []string{"ip", "netns", "exec", "worker"}, Fill: map[string]string{"ADDRESS OF THE CLUSTER ORCHESTRATOR": "192.0.2.1"}}
//	terminal, err := shell.Open()
//	...
//	defer terminal.Close()
//	out, err := terminal.Type(ctx, "README.md", "start", "deploy")
//
// A test of package docs fails for every block of any document that no test types: it looks in the tests' sources for calls of
// Type whose file and ids are written out as string literals, so write them so. A claim and its run are one line that way.
package blocks
