# Runs the programs of one control plane for a test binary, whose pipe is standard input:
#   start NAME    runs DIR/NAME.sh with its output in DIR/NAME.log; answers `started`
#   stop NAME     kills it; answers `stopped` once it is gone
# At the end of the input, which also comes when the test binary was killed, kills all of them and
# removes DIR. Should this shell be killed itself, the kernel kills them.
dir=$1
while read -r verb name; do
    case $verb in
    start)
        setpriv --pdeathsig KILL sh "$dir/$name.sh" >>"$dir/$name.log" 2>&1 </dev/null &
        echo $! >"$dir/$name.pid"
        echo started
        ;;
    stop)
        pid=$(cat "$dir/$name.pid")
        rm "$dir/$name.pid"
        kill -KILL "$pid"
        wait "$pid" 2>/dev/null
        echo stopped
        ;;
    esac
done
for file in "$dir"/*.pid; do
    [ -e "$file" ] && kill -KILL "$(cat "$file")"
done
wait 2>/dev/null
rm -rf "$dir"
