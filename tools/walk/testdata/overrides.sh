#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Starts 1-DOC.yaml with one override ($1), has a worker join, and looks whether `down` and `up` keep it. COMPOSE is the docker-compose to use, ADDRESS
# this device's address, REPOSITORY where the repository is.
set -Eeuo pipefail
name=$1
cd "$REPOSITORY/orchestrators/compose"
export CLUSTER_NAME=c1 CLUSTER_LOCATION=48.26,11.67,1000 COMPOSE_PROJECT_NAME="walk-${name,,}" OAK_CONFIG=/tmp/oak.json
rm -rf /etc/oakestra /etc/netmanager /var/lib/oakestra/* "$OAK_CONFIG"
root=root cluster=127.0.0.1 url=https://127.0.0.1:10000
compose() { "$COMPOSE" -f 1-DOC.yaml -f "override-$name.yaml" "$@"; }
# bare is the composition alone, in a shell where nothing is exported.
bare() { env -i PATH="$PATH" HOME="$HOME" LANG="$LANG" COMPOSE_PROJECT_NAME="$COMPOSE_PROJECT_NAME" "$COMPOSE" -f 1-DOC.yaml "$@"; }

# explain says where it ended and how things were, and clears up for the next one.
explain() {
	echo "ended in line $1" >&2
	[ ! -s /tmp/within.log ] || tail -n 20 /tmp/within.log >&2
	docker ps -a >&2
	compose logs --no-color --tail 30 >&2 || true
	tail -n 30 /tmp/NodeEngine.log /tmp/NetManager.log /tmp/mosquitto.log >&2 || true
}
clear_up() {
	kill ${engine:-} ${net:-} ${mosquitto:-} $(pidof NetManager) 2>/dev/null || true
	docker ps -aq | xargs -r docker rm -f >/dev/null 2>&1 || true
	docker volume ls -q | xargs -r docker volume rm -f >/dev/null 2>&1 || true
	docker network prune -f >/dev/null 2>&1 || true
	for c in $(ctr -n oakestra container ls -q); do
		ctr -n oakestra task rm -f "$c" >/dev/null 2>&1 || true
		ctr -n oakestra container rm "$c" >/dev/null 2>&1 || true
	done
}
trap 'explain $LINENO' ERR
trap clear_up EXIT

# within SECONDS WHAT COMMAND...: until the command succeeds.
within() {
	local end=$((SECONDS + $1)) what=$2
	shift 2
	until "$@" >/tmp/within.log 2>&1; do
		if ((SECONDS >= end)); then
			echo "not within the time: $what" >&2
			return 1
		fi
		sleep 0.3
	done
}

case $name in
postgres)
	echo "its password" >/tmp/database.password
	chmod 600 /tmp/database.password
	docker run -d --name walk-database -p 5433:5432 -e POSTGRES_USER=oakestra -e POSTGRES_DB=root -e POSTGRES_PASSWORD="its password" \
		-e PGDATA=/var/lib/postgresql/data/pgdata -v "$PWD/postgres/cluster.sql:/docker-entrypoint-initdb.d/cluster.sql:ro" postgres:16-alpine >/dev/null
	export DATABASE_HOST=$ADDRESS:5433 DATABASE_OPTIONS=sslmode=disable DATABASE_PASSWORD_FILE=/tmp/database.password
	within 60 "the other Postgres answers" docker exec walk-database pg_isready -h 127.0.0.1 -U oakestra -d cluster
	;;
tls)
	mkdir -p /tmp/tls
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=root.example -addext "subjectAltName=DNS:root.example,IP:127.0.0.1" \
		-keyout /tmp/tls/privkey.pem -out /tmp/tls/fullchain.pem 2>/dev/null
	chmod 600 /tmp/tls/privkey.pem
	export ROOT_TLS_DIR=/tmp/tls
	;;
mosquitto)
	MOSQUITTO_OWNER=$(id -u mosquitto):$(id -g mosquitto)
	export MOSQUITTO_OWNER
	;;
broker)
	export BROKER=$ADDRESS:8883
	# As README.md says.
	rm -rf /etc/oakestra/broker
	compose run --rm --user 0:0 -v /etc/oakestra/broker:/etc/oakestra/broker cluster \
		mosquitto --dir /etc/oakestra/broker --owner "$(id -u mosquitto):$(id -g mosquitto)" --port 8883
	mosquitto -c /etc/oakestra/broker/mosquitto.conf >/tmp/mosquitto.log 2>&1 &
	mosquitto=$!
	;;
ipv6) cluster=::1 url=https://[::1]:10000 ;;
host-*) root=root-host ;;
esac

compose up -d
ended() { # services that were to do something and end have done it
	docker ps -aq --filter "label=com.docker.compose.project=$COMPOSE_PROJECT_NAME" --filter status=exited |
		xargs docker inspect -f '{{.Name}} {{.State.ExitCode}}' | awk '$2 != 0 {print "failed: " $1; bad = 1} END {exit bad}'
}
ready() { curl -ksf --max-time 3 "$url/readyz" && [ -s /etc/oakestra/worker.token ]; }
within 120 "all is up" ready
ended

password=$(compose logs --no-color $root | grep -o 'password=[^ ]*' | tail -n 1 | cut -d = -f 2)
export OAK_PASSWORD=$password OAK_USERNAME=Admin OAK_URL=$url
case $name in
tls)
	export OAK_CA_FILE=/tmp/tls/fullchain.pem
	curl -sf --cacert /tmp/tls/fullchain.pem --resolve root.example:10000:127.0.0.1 https://root.example:10000/readyz >/dev/null
	echo "users see the certificate of the operator"
	;;
*)
	OAK_CA_HASH=$(compose logs --no-color $root | grep -o 'ca_hash=[^ ]*' | tail -n 1 | cut -d = -f 2)
	export OAK_CA_HASH
	;;
esac

# Either the two of them, as on the page, or NodeEngine alone, which starts the other and watches over it.
net= supervised=
case $name in
tls | postgres | host-*)
	supervised=yes
	NodeEngine -p 10100 -a $cluster >/tmp/NodeEngine.log 2>&1 &
	;;
*)
	NetManager -p 6000 >/tmp/NetManager.log 2>&1 &
	net=$!
	NodeEngine -n 6000 -p 10100 -a $cluster >/tmp/NodeEngine.log 2>&1 &
	;;
esac
engine=$!
worker() { oak worker list | grep -E ' ready( |$)'; }
within 90 "the worker is ready" worker
first=$(worker | awk '{print $1}')
oak cluster list

case $name in
mosquitto) grep -q 8883 /var/lib/oakestra/nodeengine/identity.json ;;
broker) grep -q "$ADDRESS:8883" /var/lib/oakestra/nodeengine/identity.json ;;
ipv6)
	docker inspect -f '{{range .NetworkSettings.Networks}}{{.GlobalIPv6Address}}{{end}}' "$(compose ps -q root)" | grep -q :
	echo "containers have IPv6"
	;;
host-*)
	[ -z "$(docker ps --format '{{.Ports}}' | grep -e '->' || true)" ]
	echo "nothing is published"
	;;
postgres)
	[ -z "$(compose ps -q postgres)" ]
	docker exec walk-database psql -qtA -U oakestra -d cluster -c 'SELECT count(*) > 0 FROM worker' | grep -q t
	;;
esac

# Where nothing is exported, logs are shown. Without the cluster's name `up` says that it is missing, and leaves all as it is.
bare logs --no-color worker-token >/dev/null
before=$(docker ps -q | sort)
if (unset CLUSTER_NAME && compose up -d) >/tmp/up.log 2>&1; then false; fi
grep -q "export CLUSTER_NAME" /tmp/up.log
[ "$(docker ps -q | sort)" = "$before" ]

if [ -n "$supervised" ]; then
	[ -S /run/oakestra/netmanager.sock ]
	ss -Hltnp | awk '/NetManager/ && $4 !~ /:53$/ {print; bad = 1} END {exit bad}' # names it answers, on the gateway address
	before=$(pidof NetManager)
	kill -KILL "$before"
	again() { [ -n "$(pidof NetManager)" ] && [ "$(pidof NetManager)" != "$before" ] && worker; }
	within 60 "NetManager is started again, and the worker ready" again
	echo "NodeEngine watches over NetManager, which listens on its socket alone"
fi

# The sample application answers: by its service's address, and from outside, with its orchestrators and without.
exposed() { curl -sf --max-time 5 "http://$ADDRESS:6080/" | grep -q "Welcome to nginx"; }
service() { oak exec curl -- curl -sf --max-time 5 http://10.30.30.30/ | grep -q "Welcome to nginx"; }
oak application create default --deploy --wait >/dev/null
within 30 "the sample application answers outside" exposed
within 30 "the sample application answers by its service's address" service
running=$(ctr -n oakestra task ls | tail -n +2 | sort)

compose down
exposed
within 30 "root is gone" bash -c "! curl -ksf --max-time 1 $url/readyz"
compose up -d
within 120 "all is up again" ready
within 120 "the worker is ready again" worker
[ "$(worker | awk '{print $1}')" = "$first" ]
[ "$(oak worker list | grep -c " c1 ")" = 1 ]
exposed
within 30 "the sample application answers again" service
[ "$(ctr -n oakestra task ls | tail -n +2 | sort)" = "$running" ]
oak application delete --yes clientsrvr >/dev/null
within 30 "nothing is left of its instances" bash -c '[ -z "$(ctr -n oakestra container ls -q)" ] && ! ip -o link | grep -E " oak-[0-9a-f]{6,}[@:]"'

kill $engine && wait $engine || true
if [ -n "$net" ]; then kill $net && wait $net || true; fi
if pidof NetManager >/dev/null; then kill "$(pidof NetManager)"; fi # of a NodeEngine that has ended
within 20 "NetManager has ended" bash -c '! pidof NetManager'
NetManager uninstall >/dev/null
bare down -v --remove-orphans
[ -z "$(docker ps -aq --filter "label=com.docker.compose.project=$COMPOSE_PROJECT_NAME")" ]
echo "all of $name held"
