#!/usr/bin/env bash
# The main job, from a model file to answers: every command is shown as it runs, nothing is asked, and nothing is left
# running. KEEP=1 leaves the endpoint standing. BIN is the folder of the environment's commands; ./demo is the project:
# it is made where it is missing and used again where it is there, and no file in it is deleted.
set -euo pipefail
cd "$(dirname "$0")/.."

bin=${BIN:-.venv/bin}
keep=${KEEP:-}
project=demo
stack=local
images=$project/heldout.npy
answer=$project/answer.json

# What the user's shell says to `cloudmodel` is about other projects.
for name in "${!CLOUDMODEL_@}"; do unset "$name"; done
exec </dev/null

show() { printf '\n$ %s\n' "$*"; }
run() { show "$@"; "$@"; }
cloudmodel() { run "$bin/cloudmodel" "$@"; }

end() {
  status=$?
  if [ -d "$project/.cloudmodel" ] && { [ "$status" -ne 0 ] || [ -z "$keep" ]; }; then
    cloudmodel -C "$project" local stop || status=$?
  fi
  [ "$status" -eq 0 ] || printf '\nThe demo failed (exit code %s).\n' "$status" >&2
  exit "$status"
}
trap end EXIT

if [ -f "$project/cloudmodel.yaml" ]; then
  printf 'Using ./%s, which is there already.\n' "$project"
elif [ -e "$project" ]; then
  printf './%s is there and is no project of this demo. Move it away, then run this again.\n' "$project" >&2
  exit 2
else
  cloudmodel init "./$project" --template digits
fi

cloudmodel -C "$project" package

# A faster model, if this machine can prove one: else the model stays as it is, and the reason is shown. Rows that are
# too few to tell (exit code 15) are an answer too.
cloudmodel -C "$project" optimize || [ $? -eq 15 ]

cloudmodel -C "$project" preview --stack "$stack"
cloudmodel -C "$project" up --stack "$stack" --yes

# Images that the model never saw, and what the endpoint says of them, beside what they are.
run "$bin/python" tools/demo_digits.py images "$project/data/heldout.npz" "$images"
show "$bin/cloudmodel -C $project invoke --stack $stack --input $images --json > $answer"
"$bin/cloudmodel" -C "$project" invoke --stack "$stack" --input "$images" --json >"$answer"
run "$bin/python" tools/demo_digits.py answers "$project/data/heldout.npz" "$answer"

printf '\nThe same again changes nothing:\n'
cloudmodel -C "$project" up --stack "$stack" --yes --expect-no-changes

if [ -n "$keep" ]; then
  printf '\nThe endpoint stands. Ask it again, and end it with the last two:\n'
  printf '    %s\n' \
    "$bin/cloudmodel -C $project invoke --stack $stack --input $images" \
    "$bin/cloudmodel -C $project destroy --stack $stack --yes" \
    "$bin/cloudmodel -C $project local stop"
  exit 0
fi

cloudmodel -C "$project" destroy --stack "$stack" --yes
cloudmodel -C "$project" local stop
trap - EXIT
printf '\nNothing is left running. These two bring it back:\n'
printf '    %s\n' \
  "$bin/cloudmodel -C $project up --stack $stack --yes" \
  "$bin/cloudmodel -C $project invoke --stack $stack --input $images"
