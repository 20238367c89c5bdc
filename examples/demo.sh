# demo.sh BIN: runs every program and every pair of the suite, and shows the
# commands and what they print, as in a terminal. `make demo` calls it.

bin=$1
root=$(dirname "$bin")
PATH=$bin:$PATH
TMPDIR=$(mktemp -d) || exit 1
cd "$TMPDIR" || exit 1
failed=0
exec 2>&1 # one transcript

# Names of objects that all processes of the machine see carry our number.
shm=/pshm_demo.$$
mq=/mq_demo.$$

finish() {
	kill $(jobs -p) 2>/dev/null
	wait
	rm -rf "$TMPDIR" "/dev/shm$shm"
	pmsg_unlink $mq 2>/dev/null
	exit $failed
}
trap finish EXIT
trap 'exit 1' INT TERM

title() { printf '\n== %s\n' "$*"; }

# run shows a command and runs it; 'cmd &' in the background. A failure is a bug.
run() {
	printf '$ %s\n' "$1"
	case $1 in
	*"&") eval "exec ${1%&}" & ;;
	*) eval "$1" || { echo "demo: status $?"; failed=1; } ;;
	esac
}

# fails runs a command that has to fail, and shows its status.
fails() {
	printf '$ %s\n' "$1"
	if eval "$1" 2>&1; then failed=1; else echo "(status $?)"; fi
}

# there waits for what a command in the background makes.
there() {
	tries=0
	until eval "$1"; do
		tries=$((tries + 1))
		[ $tries -lt 500 ] || { echo "demo: waited in vain for $1"; exit 1; }
		sleep 0.02
	done
}

cp "$root/README.md" text

title pipe
run "simple_pipe 'It was a bright cold day in April'"
run "fork_pipe"

title FIFO
run "fifo_gzip text"
run "gzip -t text.gz 2>/dev/null || echo 'no gzip here to test it'"
run "ls -l text text.gz | awk '{print \$5, \$NF}'"

title mapped file
run "mmap_producer </dev/null"
run "mmap_consumer"

title queue in a mapped file
run "mmap_queue producer </dev/null >produced &"
there "[ -s produced ]"
run "mmap_queue consumer --count 100 --timeout 10s >consumed"
wait
run "head -3 produced; head -3 consumed; sort -k2n consumed | awk '{s += \$2} END {print NR, \"messages, sum\", s}'"

title POSIX message queue
run "pmsg_create -cx -m 5 -s 100 $mq"
run "pmsg_send $mq 'can wait'"
run "pmsg_send $mq 'in a hurry' 7"
run "pmsg_getattr $mq"
run "pmsg_receive $mq"
run "pmsg_receive $mq"
fails "pmsg_receive -n $mq"
run "pmsg_unlink $mq"

title POSIX shared memory and semaphores
run "pshm_writer $shm <text &"
there "[ -s /dev/shm$shm ]"
run "pshm_reader $shm >copy"
wait
run "cmp text copy && echo same"

title futex
run "futex_mutex --procs 4 --iters 100000"
run "futex_mutex hold mutex 1s &"
there "! futex_mutex try mutex >/dev/null"
fails "futex_mutex try mutex"
wait
run "futex_mutex try mutex"

title UNIX domain socket
run "domain_sock server sock &"
server=$!
there "[ -S sock ]"
run "domain_sock client sock"
run "domain_sock client sock"
run "kill $server"
wait $server 2>/dev/null
run "ls sock 2>/dev/null || echo 'the server has removed its socket'"

title door
run "doors_emul server door &"
server=$!
there "[ -S door ]"
run "doors_emul client door 12"
run "doors_emul client door 99"
run "kill $server"
wait $server 2>/dev/null

title signal
run "sleep_alarm 1"
run "sleep_alarm --style channel 1"
