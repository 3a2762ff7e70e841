# Files from elsewhere through the whole program: skip_tuning.json, levels, shards, configurations that promise
# more than they have. A command ends with one line and exit status 1 or 2, or does its work; never by a signal.
. "$(dirname -- "$0")/lib.bash"

cd "$tmp" || exit 1
export ASAN_OPTIONS="allocator_may_return_null=1:$ASAN_OPTIONS" # as malloc does elsewhere: too much is refused
make_idx data 8 8 2
few=(--count 1 --quiet --threads 1)
check "a model" athanor train --data data --out run --steps 1 --batch 4 --sample-count 0 --quiet --threads 1 "${tiny_net[@]}"

# survives SENTENCE ARGUMENT...: exit status 0, or 1 or 2 with one line of athanor's
survives() {
    local sentence=$1 code=0
    shift
    timeout 120 "$program" "$@" >out 2>err || code=$?
    if [ $code = 0 ] && [ ! -s err ]; then passed
    elif { [ $code = 1 ] || [ $code = 2 ]; } && [ "$(wc -l <err)" = 1 ] && grep -q "^athanor: $1: " err; then passed
    else failed "$sentence: exit status $code" "$(head -c 2000 err)"
    fi
}
repeat() { local i text=; for ((i = 0; i < $2; i++)); do text+=$1; done; printf '%s' "$text"; }

# ---- files that a list is read from ----

values=(null true 0 -1 0.5 1e308 1e999 -1e308 9223372036854775807 -9223372036854775808 99999999999999999999 4294967299 2147483648
        '""' '"x"' '"inf"' '"nan"' '[]' '{}' '[[]]' '[{}]' '[null]' '[1e308]' '[1e-320]' '[9223372036854775807]' '[-1]' '[0]' '["inf"]' '["inf",0]'
        '[40,1e-320,0]' '[1e308,1e-308]' '[3,2,1' '[3 2]' "[$(repeat '1,' 200000)1]" "$(repeat '[' 100000)" "$(repeat '{"a":' 100000)"
        "$(repeat '[' 2000)1$(repeat ']' 2000)")
for value in "${values[@]}"; do
    for key in timesteps sigmas; do
        printf '{"%s": %s}' "$key" "$value" >levels.json
        survives "$key of ${value:0:40}" sample run -o grid.png --levels levels.json "${few[@]}"
    done
    for entry in '"sampler": VALUE, "steps": 2, "skip_tuning": 1' '"sampler": "ddim", "steps": VALUE, "skip_tuning": 1' \
                 '"sampler": "ddim", "steps": 2, "skip_tuning": VALUE'; do
        printf '{"entries": [{%s}]}' "${entry/VALUE/"$value"}" >run/skip_tuning.json
        survives "$entry, VALUE ${value:0:40}" sample run -o grid.png --sampler ddim --steps 2 --skip-tuning auto "${few[@]}"
    done
    printf '{"entries": %s}' "$value" >run/skip_tuning.json
    survives "entries of ${value:0:40}" sample run -o grid.png --sampler ddim --steps 2 --skip-tuning auto "${few[@]}"
done
printf '{"sigmas": [2, 1, 0], "sigmas": [3, 0]}' >levels.json
fails_with 1 'levels.json: line 1: duplicate object key' athanor sample run -o grid.png --levels levels.json "${few[@]}"
printf '{"entries": [], "entries": []}' >run/skip_tuning.json
fails_with 1 'skip_tuning.json: line 1: duplicate object key' athanor sample run -o grid.png --skip-tuning auto "${few[@]}"
rm run/skip_tuning.json

# ---- configurations that promise more than there is ----

# with_config KEY VALUE: of the network
config=$(cat run/unet/config.json)
one_line=$(tr -d '\n' <<<"$config")
with_config() {
    printf '%s' "$one_line" | sed -E "s/\"$1\": *(\[[^]]*\]|[^],}]*)/\"$1\": $2/" >run/unet/config.json
}
for pair in "sample_size 2147483647" "sample_size 1000000" "in_channels 2147483647" "out_channels 1000000" \
            "block_out_channels [2147483640,2147483640]" "block_out_channels [16384,16384]" "block_out_channels [8]" \
            "layers_per_block 2147483647" "layers_per_block 64" "num_class_embeds 2147483647" "num_class_embeds 1000000" \
            "norm_num_groups 2147483647" "norm_num_groups 0" "attention_head_dim 2147483647" "down_block_types []"; do
    read -r key value <<<"$pair"
    with_config "$key" "$value"
    survives "$pair" info run
    survives "$pair" sample run -o grid.png --steps 1 "${few[@]}"
done
printf '%s' "$config" >run/unet/config.json
check "as it was" athanor sample run -o grid.png --steps 1 "${few[@]}"

done_testing
