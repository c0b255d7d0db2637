// SPDX-License-Identifier: Apache-2.0

package walk

import (
	_ "embed"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/tools/walk/bases"
	"github.com/oakestra/oakestra-ebpf/tools/walk/device"
)

//go:embed testdata/overrides.sh
var overridesScript string

// TestOverrides starts each override of the compositions with a real Docker: all come up, a worker joins, the sample application answers, and all is
// as it was after `down` and `up`. It takes minutes and is run by `make test-overrides`; OAK_COMPOSE_V2 may name a docker-compose of the second generation, by which all is done
// once more, and OAK_OVERRIDES those that are to be tried.
func TestOverrides(t *testing.T) {
	if os.Getenv("OAK_WALK_OVERRIDES") == "" {
		t.Skip("it takes minutes: make test-overrides runs it")
	}
	w := newWorld(t, "pc1")
	w.boot("pc1", true)
	w.overrideImages("pc1")
	script, err := w.devices["pc1"].File("/tmp/overrides.sh")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(script, []byte(overridesScript), 0o600))
	programs := []string{"docker-compose"}
	if v2 := os.Getenv("OAK_COMPOSE_V2"); v2 != "" {
		to, err := w.devices["pc1"].File("/usr/local/bin/docker-compose-v2")
		require.NoError(t, err)
		require.NoError(t, copyFile(v2, to))
		programs = append(programs, "docker-compose-v2")
	}
	names := strings.Fields(os.Getenv("OAK_OVERRIDES"))
	if len(names) == 0 {
		names = []string{"tls", "mosquitto", "broker", "postgres", "host-1-DOC", "ipv6"}
	}
	for _, program := range programs {
		for _, name := range names {
			t.Run(program+"/"+name, func(t *testing.T) {
				start := time.Now()
				outer := w.t
				w.t = t
				defer func() { w.t = outer }()
				if name == "ipv6" {
					w.dockerWithIPv6("pc1")
				}
				out := w.on("pc1", 5*time.Minute, "COMPOSE="+program+" REPOSITORY="+device.Repository+" ADDRESS="+w.address("pc1")+" bash /tmp/overrides.sh "+name)
				t.Logf("%s\n%s", time.Since(start).Round(time.Second), out)
				require.Contains(t, out, "all of "+name+" held\n")
			})
		}
	}
}

// dockerWithIPv6 starts the Docker daemon anew with what orchestrators/compose/README.md says that one before 27 has to be told.
func (w *world) dockerWithIPv6(name string) {
	w.t.Helper()
	w.on(name, time.Minute, `mkdir -p /etc/docker
echo '{"experimental": true, "ip6tables": true}' >/etc/docker/daemon.json
kill $(pidof dockerd)
while pidof dockerd; do sleep 0.1; done`)
	w.startDocker(name)
}

// overrideImages builds Postgres, mosquitto, and the final stages of the top-level Dockerfile with the programs of bin/.
func (w *world) overrideImages(name string) {
	t := w.t
	t.Helper()
	cache, err := os.UserCacheDir()
	require.NoError(t, err)
	dir := filepath.Join(w.dir, "bases")
	require.NoError(t, os.Mkdir(dir, 0o755))
	require.NoError(t, bases.PrepareSystem(t.Context(), dir, filepath.Join(cache, "oakestra", "bases")))
	text, err := os.ReadFile("../../Dockerfile")
	require.NoError(t, err)
	_, stages, ok := strings.Cut(string(text), "\nFROM scratch AS base\n")
	require.True(t, ok, "the Dockerfile's final stages begin with base")
	final := "FROM scratch AS build\nCOPY out /out\nCOPY ca-certificates.crt /etc/ssl/certs/\n\nFROM scratch AS base\n" + stages
	for file, body := range map[string]string{"final": final,
		"mosquitto": "FROM scratch\nCOPY mosquitto /\nENV PATH=/usr/sbin:/usr/bin:/sbin:/bin\nENTRYPOINT []\n"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, file+".dockerfile"), []byte(body), 0o600))
	}
	context, err := w.devices[name].File("/tmp/bases")
	require.NoError(t, err)
	require.NoError(t, os.Mkdir(context, 0o755))
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		require.NoError(t, copyFile(filepath.Join(dir, e.Name()), filepath.Join(context, e.Name())))
	}
	require.NoError(t, os.RemoveAll(dir))
	w.on(name, 8*time.Minute, "REPOSITORY="+device.Repository+`
cd /tmp/bases
export DOCKER_BUILDKIT=1
for t in postgres nginx curl; do docker build -q --network none --target $t -t build-$t .; done
docker tag build-postgres `+standsFor["postgres"]+`
docker tag build-nginx `+standsFor["nginx"]+`
docker tag build-curl `+standsFor["curl"]+`
docker rmi build-{postgres,nginx,curl}
rm debian.tar
mkdir -p out/empty
cp $REPOSITORY/bin/{root,cluster}-orchestrator out/
cp /etc/ssl/certs/ca-certificates.crt .
for p in root-orchestrator cluster-orchestrator; do docker build -q --network none --target $p -t oakestra/$p -f final.dockerfile .; done
bash pick.sh /tmp/bases/mosquitto /usr/sbin/mosquitto /bin/sh /bin/cat /bin/grep
docker build -q --network none -t eclipse-mosquitto:2 -f mosquitto.dockerfile .
rm -rf /tmp/bases
install $REPOSITORY/bin/{NodeEngine,NetManager,oak} /usr/local/bin/`)
	w.publishSample(name)
}
