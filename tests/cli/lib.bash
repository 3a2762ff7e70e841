# What the command-line tests share: checks that count themselves, a scratch folder, made-up
# data. A test is run as `bash FILE ATHANOR_BINARY PROJECT_SOURCE_DIR`, sources this file
# first and calls `done_testing` last. Only bash, coreutils, grep, sed and gzip are needed.

program=$(realpath -- "$1") source_dir=$(realpath -- "$2")
tmp=$(mktemp -d "${TMPDIR:-/tmp}/athanor-cli.XXXXXX")
checks=0 failures=0 finished=no
export LC_ALL=C OMP_WAIT_POLICY=passive # the machine may be busy with other tests
export ATH_CACHE=$tmp/cache             # not the user's own

cleanup() {
    local code=$?
    if [ "$finished" = no ]; then echo "FAILED: the script ended early, after $checks checks" >&2; fi
    if declare -F before_cleanup >/dev/null; then before_cleanup; fi
    rm -rf -- "$tmp"
    if [ "$finished" = no ] && [ "$code" = 0 ]; then exit 1; fi
}
trap cleanup EXIT
trap 'exit 1' INT TERM HUP

done_testing() {
    finished=yes
    echo "${0##*/}: $checks checks, $failures failed, $SECONDS s"
    [ "$failures" = 0 ]
    exit
}

athanor() { "$program" "$@"; }

passed() { checks=$((checks + 1)); }
# failed SENTENCE [DETAIL...]
failed() {
    checks=$((checks + 1)) failures=$((failures + 1))
    echo "FAILED: $1" >&2
    shift
    for detail in "$@"; do printf '    %s\n' "$detail" >&2; done
}

# check SENTENCE COMMAND...: the command must succeed; what it says is shown when it does not.
check() {
    local sentence=$1 code=0
    shift
    "$@" >"$tmp/check.out" 2>"$tmp/check.err" || code=$?
    if [ $code = 0 ]; then
        passed
    else
        failed "$sentence" "exit status $code of: $*" "stdout: $(head -c 500 "$tmp/check.out")" \
               "stderr: $(head -c 2000 "$tmp/check.err")"
    fi
}

# same SENTENCE A B: two texts.
same() {
    if [ "$2" = "$3" ]; then passed; else failed "$1" "is:       $2" "expected: $3"; fi
}

# exits CODE COMMAND...: standard output and error are in $tmp/out and $tmp/err.
exits() {
    local expected=$1 code=0
    shift
    "$@" >"$tmp/out" 2>"$tmp/err" || code=$?
    if [ $code = "$expected" ]; then
        passed
    else
        failed "exit status $code, expected $expected: $*" "stdout: $(head -c 500 "$tmp/out")" "stderr: $(head -c 2000 "$tmp/err")"
    fi
}

# fails_with CODE WORD COMMAND...: one line "athanor: COMMAND: ...WORD..." on standard error,
# nothing on standard output. WORD is an extended regular expression.
fails_with() {
    local expected=$1 word=$2 code=0 fault=
    shift 2
    "$@" >"$tmp/out" 2>"$tmp/err" || code=$?
    if [ $code != "$expected" ]; then fault="exit status $code, expected $expected"
    elif [ -s "$tmp/out" ]; then fault="something on standard output"
    elif [ "$(wc -l <"$tmp/err")" != 1 ]; then fault="not one line on standard error"
    elif [ "$1" = athanor ] && ! grep -q "^athanor: $2: " "$tmp/err"; then fault="the line does not begin with \"athanor: $2: \""
    elif ! grep -qE -e "$word" "$tmp/err"; then fault="the line does not say \"$word\""
    fi
    if [ -z "$fault" ]; then
        passed
    else
        failed "$fault: $*" "stdout: $(head -c 500 "$tmp/out")" "stderr: $(head -c 2000 "$tmp/err")"
    fi
}

# Every file below a folder with its checksum, and every folder.
fingerprint() { (cd "$1" && find . -type d | sort && find . -type f -exec cksum {} + | sort -k 3); }

# bytes NUMBER...: as bytes; u32 NUMBER...: as big-endian words of four.
bytes() { local b; for b in "$@"; do printf '%b' "\\0$(printf %o "$b")"; done; }
u32() { local v; for v in "$@"; do bytes $((v >> 24 & 255)) $((v >> 16 & 255)) $((v >> 8 & 255)) $((v & 255)); done; }

# make_idx FOLDER N SIDE CLASSES: made-up pictures, MNIST's file names. Image i is of class
# i % CLASSES: a bright bar whose column is the class's, on a background that differs in each.
make_idx() {
    local folder=$1 n=$2 side=$3 classes=$4 i x y row text=
    mkdir -p "$folder"
    for ((i = 0; i < n; i++)); do
        for ((y = 0; y < side; y++)); do
            for ((x = 0; x < side; x++)); do
                if ((x == (2 * (i % classes) + 1) % side)); then row=$((255 - 4 * y)); else row=$((i * 7 % 64 + 3 * y)); fi
                printf -v row '\\0%o' $row
                text+=$row
            done
        done
    done
    { bytes 0 0 8 3; u32 "$n" "$side" "$side"; printf '%b' "$text"; } >"$folder/train-images-idx3-ubyte"
    text=
    for ((i = 0; i < n; i++)); do printf -v row '\\0%o' $((i % classes)); text+=$row; done
    { bytes 0 0 8 1; u32 "$n"; printf '%b' "$text"; } >"$folder/train-labels-idx1-ubyte"
}

# The network of most tests: trains in a moment.
tiny_net=(--base-channels 8 --norm-groups 4 --channel-mults 1,2 --res-blocks 1 --attention none --timesteps 50)

# "WIDTHxHEIGHT" from a PNG's header.
png_size() {
    local b
    read -r -a b < <(od -An -v -tu1 -j16 -N8 -w8 "$1")
    echo "$((b[0] << 24 | b[1] << 16 | b[2] << 8 | b[3]))x$((b[4] << 24 | b[5] << 16 | b[6] << 8 | b[7]))"
}
is_png() { [ "$(od -An -tx1 -N8 "$1" | tr -d ' ')" = 89504e470d0a1a0a ]; }

# is_json_line FILE: one line that is a JSON object. Without Python only its ends are looked at.
is_json_line() {
    [ "$(wc -l <"$1")" = 1 ] && grep -q '^{.*}$' "$1" || return 1
    [ -x /usr/bin/python3 ] || return 0
    /usr/bin/python3 -c 'import json, sys; json.loads(open(sys.argv[1]).read())' "$1"
}
# with_modules COMMAND...: Python's imports find the modules beside the tests.
with_modules() { PYTHONPATH="$source_dir/tests/cli" PYTHONDONTWRITEBYTECODE=1 "$@"; }
# json_value FILE KEY: of a file with one JSON object that is a number or a text on the top level.
json_value() { sed -nE "s/.*\"$2\": *\"?([^,\"}]*).*/\\1/p" "$1" | head -n 1; }

# header FILE: the JSON of a safetensors file without its padding and without what the clock
# put into it; tensors_of FILE: the data.
header_length() { local n; read -r n < <(od -An -tu8 -N8 "$1"); echo "$n"; }
header() {
    tail -c +9 "$1" | head -c "$(header_length "$1")" | sed -E 's/"seconds":"[^"]*"//; s/ *$//'
}
same_state() {
    [ "$(header "$1")" = "$(header "$2")" ] && cmp <(tail -c +$(($(header_length "$1") + 9)) "$1") \
                                                     <(tail -c +$(($(header_length "$2") + 9)) "$2")
}

# wait_for SECONDS COMMAND...: until it succeeds; false when the time is over.
wait_for() {
    local until=$((SECONDS + $1))
    shift
    while ! "$@" >/dev/null 2>&1; do
        if [ $SECONDS -ge $until ]; then return 1; fi
        sleep 0.01
    done
}
# has_steps RUN N: the log of a run has come to step N.
has_steps() { local n; n=$(wc -l <"$1/log.csv") && [ "$n" -gt "$2" ]; }

# entry FILE NAME: "DTYPE [SHAPE] BEGIN END" of a tensor, offsets counted from the start of the
# data, an empty line when there is none; tensor_bytes FILE NAME: its numbers as they are.
entry() {
    echo "$(tail -c +9 "$1" | head -c "$(header_length "$1")" |
        sed -nE "s#.*\"$2\": ?\{\"dtype\": ?\"([A-Z0-9]*)\", ?\"shape\": ?(\[[0-9, ]*\]), ?\"data_offsets\": ?\[([0-9]*), ?([0-9]*)\]\}.*#\1 \2 \3 \4#p" |
        sed 's/, /,/g')"
}
tensor_bytes() {
    local dtype shape begin end
    read -r dtype shape begin end < <(entry "$1" "$2")
    [ -n "$end" ] || return 1
    tail -c +$(($(header_length "$1") + 9 + begin)) "$1" | head -c $((end - begin))
}

# make_safetensors FILE [NAME DTYPE SHAPE DATA_FILE]...
make_safetensors() {
    local to=$1 at=0 size text= file files=() v
    shift
    while [ $# != 0 ]; do
        size=$(stat -c %s "$4")
        text+="${text:+,}\"$1\":{\"dtype\":\"$2\",\"shape\":$3,\"data_offsets\":[$at,$((at + size))]}"
        at=$((at + size)) files+=("$4")
        shift 4
    done
    text="{$text}"
    while [ $((${#text} % 8)) != 0 ]; do text+=' '; done
    v=${#text}
    { bytes $((v & 255)) $((v >> 8 & 255)) $((v >> 16 & 255)) 0 0 0 0 0; printf %s "$text"; for file in "${files[@]}"; do cat "$file"; done; } >"$to"
}
