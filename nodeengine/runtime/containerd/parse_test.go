// SPDX-License-Identifier: Apache-2.0

package containerd

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/nodeengine/runtime"
)

func TestCompletedLabel(t *testing.T) {
	e := runtime.Exit{Code: 3, At: time.Now().UTC()}
	if got := parseCompleted(completedLabel(e)); got.Code != 3 || !got.At.Equal(e.At) {
		t.Errorf("%+v", got)
	}
}

func FuzzParseCompleted(f *testing.F) {
	for _, s := range []string{"", "@", "0@", "x@y", "4294967296@2020-01-01T00:00:00Z"} {
		f.Add(s)
	}
	f.Fuzz(func(_ *testing.T, s string) { _ = parseCompleted(s) })
}

func TestResolvConf(t *testing.T) {
	for conf, want := range map[string]string{
		"":                        "nameserver 10.18.0.1\n",
		"nameserver 127.0.0.53\n": "nameserver 10.18.0.1\n",
		"# c\nsearch a\ndomain b.example\noptions ndots:5\n": "nameserver 10.18.0.1\nsearch b.example\n",
		"domain b\nsearch x.example y.example\nsearch\n":     "nameserver 10.18.0.1\nsearch x.example y.example\n",
		"search .\n": "nameserver 10.18.0.1\n",
	} {
		if got := string(resolvConf(nameserver, searchOf([]byte(conf)))); got != want {
			t.Errorf("%q becomes %q, want %q", conf, got, want)
		}
	}
	if got := string(resolvConf(netip.Addr{}, nil)); got != "" {
		t.Errorf("without a name server: %q", got)
	}
}

func TestHosts(t *testing.T) {
	in := runtime.Instance{InstanceKey: wire.InstanceKey{Number: 4}, Spec: wire.InstanceSpec{InstanceIP: netip.MustParseAddr("10.30.0.1")}}
	if got := string(hosts(in)); !strings.Contains(got, "10.30.0.1\tinstance-4\n") || strings.Contains(got, "invalid") {
		t.Errorf("%q", got)
	}
}

func TestCounter(t *testing.T) {
	data := []byte("low 0\noom_kill_disable 0\nunder_oom 0\noom_kill 2\n")
	if counter(data, "oom_kill") != 2 || counter(data, "none") != 0 || counter(nil, "x") != 0 {
		t.Error("wrong value")
	}
}

func TestDescriptorOverridesEnvironment(t *testing.T) {
	env := environment(runtime.Instance{Spec: wire.InstanceSpec{Environment: []string{"HOSTNAME=mine"}}})
	if env[len(env)-1] != "HOSTNAME=mine" {
		t.Errorf("%v", env)
	}
	for _, e := range env {
		if strings.Contains(e, "invalid") {
			t.Errorf("an address that is not there is told: %s", e)
		}
	}
}

func TestEveryImageErrorHasAWayOut(t *testing.T) {
	for text, want := range map[string]string{
		"x509: certificate signed by unknown authority": "--insecure-registry r:1",
		"anything else": "tried again",
	} {
		if err := imageError("i", "r:1", errors.New(text)); !strings.Contains(err.Error(), want) {
			t.Errorf("%v", err)
		}
	}
}
