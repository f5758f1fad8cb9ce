#!/bin/sh
# Two racks on Docker, each on an engine of its own in a container (docker-compose.racks.yml).
#
#   ./deploy-racks.sh                    or up: build once, start, load, make secrets, deploy, wait; again for a change
#   ./deploy-racks.sh status             what runs; exit status 1 when something is missing
#   ./deploy-racks.sh logs [rack-1|rack-2] [what ./claw swarm logs takes]
#   ./deploy-racks.sh down [--volumes]   end both; images, models and the swarms stay unless --volumes
#
# README.md, "Two racks", has the variables. Plain POSIX sh; needs docker with compose, and what ./claw needs.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
prefix=${RACKS_PREFIX:-}
engine_image=${DIND_IMAGE:-docker:27-dind}
memcached_image=${MEMCACHED_IMAGE:-memcached:1.6}
ollama_image=${OLLAMA_IMAGE:-ollama/ollama:latest}
kept=${CLAWBUCKET_HOME:-$root/.claw}/${prefix}racks-docker
sum_label=clawbucket.sum
take_port='
import errno, socket, sys
try:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("0.0.0.0", int(sys.argv[1])))
except OSError as error:
    print("taken" if error.errno == errno.EADDRINUSE else "")
'

say() {
    printf '%s\n' "$*"
}

# refuse STATUS SENTENCE: 2 where nothing was begun, 1 where it failed on the way.
refuse() {
    printf 'deploy-racks: %s\n' "$2" >&2
    exit "$1"
}

# What a program complained of last, on one line: its last error, else its last words.
last_words() {
    said=$(printf '%s\n' "$1" | grep -i 'error\|denied\|cannot' | grep -v '^Encountered errors' | tail -n 1)
    [ -n "$said" ] || said=$(printf '%s\n' "$1" | grep . | tail -n 1)
    printf '%s' "${said:-it said nothing}" | cut -c 1-300
}

# rack NUMBER: everything about one of the two.
rack() {
    number=$1
    name=${prefix}rack-$1-dind
    label="Machine Rack $1"
    case $1 in
        1)
            port=${RACK_1_PORT:-18080} aggregator_port=${RACK_1_AGGREGATOR_PORT:-18090}
            ollama_port=${RACK_1_OLLAMA_PORT:-18134} docker_port=${RACK_1_DOCKER_PORT:-12375}
            pool=${RACK_1_POOL:-10.201} peer=http://${RACKS_POOL:-10.200}.0.12:8080
            ;;
        2)
            port=${RACK_2_PORT:-28080} aggregator_port=${RACK_2_AGGREGATOR_PORT:-28090}
            ollama_port=${RACK_2_OLLAMA_PORT:-28134} docker_port=${RACK_2_DOCKER_PORT:-22375}
            pool=${RACK_2_POOL:-10.202} peer=http://${RACKS_POOL:-10.200}.0.11:8080
            ;;
    esac
    url=http://127.0.0.1:$port
    aggregator_url=http://127.0.0.1:$aggregator_port
}

# Docker and its compose -----------------------------------------------------------------------------------

check_docker() {
    command -v docker >/dev/null || refuse 2 'docker is not on PATH; install it (Debian, Ubuntu: sudo apt install docker.io; others: docs.docker.com/engine/install)'
    if ! said=$(docker version --format '{{.Server.Version}}' 2>&1); then
        case $said in
            *[Pp]ermission\ denied*)
                # shellcheck disable=SC2016 # the person's shell is to fill it in
                refuse 2 'you may not use the Docker engine; type sudo usermod -aG docker $USER and log in again, or put sudo before this'
                ;;
        esac
        refuse 2 "no Docker engine answers ($(last_words "$said")); start it with sudo systemctl start docker, or say in DOCKER_HOST where one is"
    fi
    if docker compose version >/dev/null 2>&1; then
        compose='docker compose'
    elif command -v docker-compose >/dev/null; then
        compose=docker-compose
    else
        refuse 2 'there is no compose; install it (Debian: sudo apt install docker-compose; others: docs.docker.com/compose/install)'
    fi
}

# Compose with our files; its word on what went wrong, on one line.
composed() {
    set -- --project-name "${prefix}clawbucket-racks" --file "$root/docker-compose.racks.yml" \
        ${override:+--file "$override"} "$@"
    # "auto" is no word of the file's; the override has the last word on privileges.
    # shellcheck disable=SC2086 # two words are a command and its subcommand
    if ! said=$(RACKS_PRIVILEGED=true $compose "$@" 2>&1); then
        refuse 1 "$compose failed: $(last_words "$said")"
    fi
}

is_there() {
    docker container inspect "$name" >/dev/null 2>&1
}

runs() {
    [ "$(docker container inspect --format '{{.State.Running}}' "$name" 2>/dev/null)" = true ]
}

# inside WORD...: the rack's own docker.
inside() {
    docker exec -i "$name" docker "$@"
}

# swarm WORD...: ./claw swarm on the rack's engine; nothing that is set for another stack has a say.
swarm() (
    unset DOCKER_CONTEXT DOCKER_TLS_VERIFY DOCKER_CERT_PATH DOCKER_SOCKET DOCKER_SOCKET_USER
    unset CLAWBUCKET_PORT CLAWBUCKET_AGGREGATOR_PORT CLAWBUCKET_SECRETS CLAWBUCKET_PEERS OLLAMA_PORT
    export DOCKER_HOST="tcp://127.0.0.1:$docker_port" PEER_DASHBOARD_URL="$peer"
    exec "$root/claw" swarm "$@"
)

# Before anything is begun ---------------------------------------------------------------------------------

check_names() {
    case $prefix in
        *[!a-z0-9-]*) refuse 2 "RACKS_PREFIX takes letters a-z, digits and '-'; '$prefix' is not that" ;;
    esac
    case ${RACKS_PRIVILEGED:-auto} in
        auto | true | false) ;;
        *) refuse 2 "RACKS_PRIVILEGED takes auto, true or false; '$RACKS_PRIVILEGED' is not that" ;;
    esac
    case ${OLLAMA_REPLICAS:-1} in
        0 | 1) ;;
        *) refuse 2 "OLLAMA_REPLICAS takes 0 or 1 here; '$OLLAMA_REPLICAS' is not that" ;;
    esac
}

check_pools() {
    if ! docker network inspect "${prefix}clawbucket-racks" >/dev/null 2>&1; then
        check_pool RACKS_POOL "${RACKS_POOL:-10.200}"
    fi
    for each in 1 2; do
        rack "$each"
        check_pool "RACK_${number}_POOL" "$pool"
    done
    rack 1 && first=$pool && rack 2
    for each in "$first $pool" "$first ${RACKS_POOL:-10.200}" "$pool ${RACKS_POOL:-10.200}"; do
        [ "${each% *}" != "${each#* }" ] || refuse 2 "RACKS_POOL, RACK_1_POOL and RACK_2_POOL must differ; two are ${each% *}"
    done
}

check_pool() {
    if ! printf '%s' "$2" | grep -Eqx '[0-9]{1,3}\.[0-9]{1,3}'; then
        refuse 2 "$1 takes the first two numbers of an address, such as 10.201; '$2' is not that"
    fi
    if ip -4 route show 2>/dev/null | grep -q "^$2\."; then
        refuse 2 "this machine has a network in $2.0.0/16 already; choose another with $1"
    fi
}

check_ports() {
    for each in 1 2; do
        rack "$each"
        ! runs || continue
        check_port "$port" dashboard PORT
        check_port "$aggregator_port" scoreboard AGGREGATOR_PORT
        check_port "$ollama_port" Ollama OLLAMA_PORT
        check_port "$docker_port" engine DOCKER_PORT
    done
}

check_port() {
    case $1 in
        '' | *[!0-9]* | ??????*) refuse 2 "RACK_${number}_$3 takes a port, 1 to 65535; '$1' is not that" ;;
    esac
    # A Python that does not run is nobody's port; ./claw has its own word on that.
    if ! python3 -I -c "$take_port" "$1" 2>/dev/null | grep -q taken; then return 0; fi
    holder=$(docker ps --filter "publish=$1" --format '{{.Names}}' | head -n 1)
    refuse 2 "port $1 (rack $number's $2) is taken by ${holder:+the container }${holder:-another program}; choose another with RACK_${number}_$3"
}

# Images ---------------------------------------------------------------------------------------------------

id_of() {
    docker image inspect --format '{{.Id}}' "$1" 2>/dev/null
}

# have IMAGE VARIABLE: it is on this machine's engine afterwards.
have() {
    id_of "$1" >/dev/null && return
    say "pulling $1"
    if ! said=$(docker pull --quiet "$1" 2>&1); then
        refuse 1 "there is no image $1 here and it cannot be pulled ($(last_words "$said")); name one that is here in $2"
    fi
}

# The image of all programs of ours, made once for both racks; what is built goes by a tag of its content.
provide_ours() {
    if [ -n "${CLAWBUCKET_IMAGE:-}" ]; then
        image=$CLAWBUCKET_IMAGE
        have "$image" CLAWBUCKET_IMAGE
        return
    fi
    say 'building clawbucket:latest (some minutes the first time)'
    set --
    [ -z "${PYTHON_IMAGE:-}" ] || set -- "$@" --build-arg "PYTHON_IMAGE=$PYTHON_IMAGE"
    [ -z "${PICOCLAW_IMAGE+set}" ] || set -- "$@" --build-arg "PICOCLAW_IMAGE=$PICOCLAW_IMAGE"
    if ! said=$(docker build --tag clawbucket:latest "$@" "$root" 2>&1); then
        refuse 1 "the image could not be built ($(last_words "$said")); where images cannot be pulled, set PYTHON_IMAGE to one that is here and PICOCLAW_IMAGE to nothing"
    fi
    image=$(id_of clawbucket:latest)
    image=clawbucket:$(printf '%s' "${image#sha256:}" | cut -c 1-12)
    docker tag clawbucket:latest "$image"
}

# load IMAGE: the rack has it as this machine does.
load() {
    wanted=$(id_of "$1")
    [ "$(inside image inspect --format '{{.Id}}' "$1" 2>/dev/null </dev/null)" != "$wanted" ] || return 0
    say "$name: loading $1"
    docker save "$1" | inside load --quiet >/dev/null || :
    inside image inspect "$1" >/dev/null 2>&1 </dev/null || refuse 1 "the image $1 could not be loaded into $name; docker logs $name may tell why"
}

# Whether the racks' containers may be privileged. A host that lacks a capability refuses it.
choose_privileges() {
    override=
    case ${RACKS_PRIVILEGED:-auto} in
        true) ;;
        false) override=$root/docker-compose.racks.unprivileged.yml ;;
        auto)
            if ! docker run --rm --privileged --network none --entrypoint true "$engine_image" >/dev/null 2>&1; then
                say 'privileged containers are refused here; going on with docker-compose.racks.unprivileged.yml'
                override=$root/docker-compose.racks.unprivileged.yml
            fi
            ;;
    esac
}

# Engines --------------------------------------------------------------------------------------------------

await_engine() {
    tries=90
    until inside version >/dev/null 2>&1 </dev/null; do
        tries=$((tries - 1))
        if [ "$tries" -le 0 ]; then
            refuse 1 "the engine in $name does not answer ($(last_words "$(docker logs --tail 5 "$name" 2>&1)")); RACKS_PRIVILEGED=true or false may help"
        fi
        sleep 1
    done
}

join_swarm() {
    [ "$(inside info --format '{{.Swarm.LocalNodeState}}' </dev/null)" != active ] || return 0
    # Of one node: at its own loopback, so that another address after a restart does not matter.
    if ! said=$(inside swarm init --advertise-addr 127.0.0.1 --default-addr-pool "$pool.128.0/17" \
        --default-addr-pool-mask-length 24 2>&1 </dev/null); then
        refuse 1 "no swarm could be made in $name: $(last_words "$said")"
    fi
}

# Secrets --------------------------------------------------------------------------------------------------

# find_secrets: the operator's token and the peer key, one of each for both racks, in $token and $peer_key.
# They are the environment's, or made once and kept in files that their owner alone can read.
find_secrets() {
    find_secret token "${CLAWBUCKET_TOKEN:-}" "${CLAWBUCKET_TOKEN_FILE:-}" CLAWBUCKET_TOKEN
    token=$value token_from=$from
    find_secret peer-key "${CLAWBUCKET_PEER_KEY:-}" "${CLAWBUCKET_PEER_KEY_FILE:-}" CLAWBUCKET_PEER_KEY
    peer_key=$value
}

find_secret() {
    value=$2 from="the variable $4"
    [ -z "$value" ] || { check_secret "$4" && return; }
    from=${3:-$kept/$1}
    if [ -z "$3" ] && [ ! -s "$from" ]; then
        (umask 077 && mkdir -p "$kept" && random >"$from")
    fi
    value=$(cat -- "$from" 2>/dev/null) || refuse 2 "${4}_FILE takes a readable file; $from is not that"
    check_secret "$from"
}

check_secret() {
    if [ "${#value}" -lt 8 ] || [ "${#value}" -gt 512 ]; then
        refuse 2 "$1 must hold 8 to 512 characters"
    fi
}

random() {
    dd if=/dev/urandom bs=32 count=1 2>/dev/null | od -An -v -tx1 | tr -d ' \n'
}

# share KIND VALUE WHAT: the rack has this secret. One that is there cannot be read or changed, but it has a
# sum by which it is known.
share() {
    sum=$(printf '%s' "$2" | cksum | tr ' ' -)
    if there=$(inside secret inspect --format "{{index .Spec.Labels \"$sum_label\"}}" "clawbucket_$1" 2>/dev/null </dev/null); then
        [ "$there" = "$sum" ] || refuse 1 "$name has another $3 than it is to have, and a secret cannot be changed; begin anew with ./deploy-racks.sh down --volumes"
        return
    fi
    if ! said=$(printf '%s' "$2" | inside secret create --label "$sum_label=$sum" "clawbucket_$1" - 2>&1); then
        refuse 1 "the $3 could not be given to $name: $(last_words "$said")"
    fi
}

# Commands -------------------------------------------------------------------------------------------------

up() {
    check_names
    check_docker
    check_pools
    check_ports
    find_secrets
    have "$engine_image" DIND_IMAGE
    have "$memcached_image" MEMCACHED_IMAGE
    ollama=--ollama
    if [ "${OLLAMA_REPLICAS:-1}" = 0 ]; then ollama=--no-ollama; else have "$ollama_image" OLLAMA_IMAGE; fi
    provide_ours
    choose_privileges
    composed up --detach
    for each in 1 2; do
        rack "$each"
        await_engine
        join_swarm
        load "$image"
        load "$memcached_image"
        [ "$ollama" = --no-ollama ] || load "$ollama_image"
        share token "$token" 'operator token'
        share peer_key "$peer_key" 'peer key'
    done
    for each in 1 2; do
        rack "$each"
        say "$name: deploying"
        swarm up --image "$image" --no-build --no-pull "$ollama" --label "$label" --port 8080 \
            --aggregator-port 8090 --reach-at "$url" "$aggregator_url" --timeout "${RACKS_TIMEOUT:-300}"
    done
    say ''
    for each in 1 2; do
        rack "$each"
        say "  $label   dashboard $url   scoreboard $aggregator_url   docker tcp://127.0.0.1:$docker_port"
    done
    say ''
    say "changes ask for the operator's token; it is in $token_from"
    say './deploy-racks.sh status, logs, down'
}

status() {
    check_names
    check_docker
    code=0 found=
    for each in 1 2; do
        rack "$each"
        ! is_there || found=yes
        if ! runs; then
            say "$label: $name does not run; ./deploy-racks.sh starts it" && code=1
        else
            say "$label"
            swarm status --reach-at "$url" "$aggregator_url" || code=1
        fi
    done
    [ -n "$found" ] || refuse 2 'no racks run here; start them with ./deploy-racks.sh'
    exit "$code"
}

logs() {
    check_names
    check_docker
    case ${1:-} in
        rack-[12]) only=${1#rack-} && shift ;;
        rack-*) refuse 2 "there are rack-1 and rack-2; '$1' is neither" ;;
        *) only='1 2' ;;
    esac
    for each in $only; do
        rack "$each"
        runs || refuse 2 "$name does not run; ./deploy-racks.sh starts it"
        say "$label"
        swarm logs "$@" || exit
    done
}

down() {
    check_names
    case ${1:-} in
        '' | --volumes) ;;
        *) refuse 2 "down takes --volumes or nothing; '$1' is neither" ;;
    esac
    check_docker
    override=
    composed down --remove-orphans ${1:+"$1"}
    [ -z "${1:-}" ] || rm -rf -- "$kept"
    say "the racks are gone${1:+, with all that they had}"
}

command=${1:-up}
[ "$#" -eq 0 ] || shift
case $command in
    up)
        [ "$#" -eq 0 ] || refuse 2 "up takes nothing more; '$1' is too much"
        up
        ;;
    status)
        [ "$#" -eq 0 ] || refuse 2 "status takes nothing more; '$1' is too much"
        status
        ;;
    logs) logs "$@" ;;
    down) down "$@" ;;
    -h | --help | help) sed -n '2,9s/^# \{0,1\}//p' "$root/deploy-racks.sh" ;;
    *) refuse 2 "takes up, status, logs or down; '$command' is none of them" ;;
esac
