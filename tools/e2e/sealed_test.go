// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/client"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/tools/e2e/scene"
	"github.com/oakestra/oakestra-ebpf/tools/testbed"
)

// TestSecretsOnTheBroker listens to everything that a cluster and its workers say over MQTT, live and retained, while services with secrets
// and registry credentials are deployed, fail, are changed, and commands and logs that tell the secret are asked for. No secret is in it; what
// is no secret, and went the same way, is.
func TestSecretsOnTheBroker(t *testing.T) {
	s := raiseWith(t, 2, ipv4, func(o *testbed.Options) { o.Broker = testbed.BrokerMosquitto })
	letIn(t, "c1")
	live := listen(t, s, "c1", "live")
	word, second, password, control := rand.Text(), rand.Text(), rand.Text(), rand.Text()
	secret(t, s, client.SecretValue{Name: "word", Value: []byte(word)})
	secret(t, s, client.SecretValue{Name: "registry", Registry: &wire.RegistryLogin{Server: s.Testbed.Registry(), Username: "somebody", Password: password}})
	v := sealed(t, s, control)
	for _, c := range serversOf(t, s, v) {
		if !strings.Contains(environ(t, s, c), "\x00WORD="+word+"\x00") {
			t.Fatalf("%s has not got its secret", c.ID)
		}
	}
	tellAll(t, s, v)
	nothing := service(t, s, "nothing")
	if err := s.API.AddInstance(t.Context(), nothing.ID); err != nil {
		t.Fatal(err)
	}
	until(t, time.Minute, func(ctx context.Context) error {
		now, err := s.Service(ctx, "nothing")
		if err == nil && (len(now.Instances) == 0 || !strings.Contains(now.Instances[0].StatusDetail, "nothing:latest")) {
			err = fmt.Errorf("its image is not missed: %+v", now.Instances)
		}
		return err
	})
	if _, err := s.API.UpdateSecret(t.Context(), "word", client.SecretValue{Value: []byte(second)}); err != nil {
		t.Fatal(err)
	}
	until(t, time.Minute, func(context.Context) error {
		list, err := s.Containers(t.Context(), string(v.ID))
		if err != nil {
			return err
		}
		pids := tasks(t, s)
		for _, c := range list {
			env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pids[c.ID]))
			if err == nil && !bytes.Contains(env, []byte("WORD="+second)) {
				err = fmt.Errorf("%s has not got the new value", c.ID)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	tellAll(t, s, v)

	retained := listen(t, s, "c1", "retained")
	until(t, 10*time.Second, func(context.Context) error {
		for name, p := range map[string]*tap{"live": live, "retained": retained} {
			if len(p.holding(control)) == 0 {
				return fmt.Errorf("what is no secret is not found among what is %s: %v", name, p.topics())
			}
		}
		return nil
	})
	for name, p := range map[string]*tap{"live": live, "retained": retained} {
		t.Logf("%s: messages by topic %v", name, p.topics())
		for what, value := range map[string]string{"secret": word, "second value of the secret": second, "password of the registry": password} {
			if found := p.holding(value); len(found) > 0 {
				t.Errorf("%s: the %s is in %q", name, what, found)
			}
		}
	}
	for _, topic := range []string{wire.TopicDesired, wire.TopicInstances, wire.TopicInformation, wire.TopicStreams, wire.TopicNetEndpoints} {
		if live.topics()[topic] == 0 {
			t.Errorf("nothing was heard on %s", topic)
		}
	}
}

func secret(t *testing.T, s *scene.Scene, v client.SecretValue) {
	t.Helper()
	if _, err := s.API.CreateSecret(t.Context(), v); err != nil {
		t.Fatal(err)
	}
}

// sealed deploys the services of sealed.json and waits for the one that can run. control is a value that is no secret.
func sealed(t *testing.T, s *scene.Scene, control string) *client.Service {
	t.Helper()
	dir, err := bin()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Testbed.Image(t.Context(), "console", filepath.Join(dir, "images", "console"), []string{"/console"}); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join("testdata", "sealed.json"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.API.CreateApplication(t.Context(), bytes.ReplaceAll(raw, []byte("CONTROL"), []byte(control))); err != nil {
		t.Fatal(err)
	}
	awaitRunning(t, s, "talk", 2)
	return service(t, s, "talk")
}

// tellAll has each instance tell its secret to who may ask: by a command's output and arguments, and reads its log.
func tellAll(t *testing.T, s *scene.Scene, v *client.Service) {
	t.Helper()
	for _, c := range serversOf(t, s, v) {
		value, err := os.ReadFile(filepath.Join(process(t, s, c), "root/run/word"))
		if err != nil {
			t.Fatal(err)
		}
		until(t, 10*time.Second, func(ctx context.Context) error {
			var out, notes bytes.Buffer
			_, err := s.API.Exec(ctx, v.ID, c.Number, client.ExecOptions{Command: []string{"/console", "exit", "0", string(value)}, Stdout: &out, Stderr: &notes})
			if client.HasStatus(err, http.StatusConflict) {
				return err // it changes over just now
			}
			if err != nil {
				return err
			}
			if out.String() != string(value)+"\n" {
				return errors.New("the command tells nothing")
			}
			out.Reset()
			return s.API.Logs(ctx, v.ID, c.Number, client.LogOptions{Tail: 3}, &out, &notes, nil)
		})
	}
}
