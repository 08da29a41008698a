#!/usr/bin/env bash
# Deploys the digits project to AWS, for real, in the account of the present credentials: says what it will cost, wants the
# account's id typed, checks by predictions, deletes everything again whatever happened. IMAGE is a serving image with
# onnxruntime in that account's registry (docs/decisions/2026-11-24-serving-image.md); REGION the region.
# TARGET=local rehearses all of it on the local AWS: the same commands, and the local AWS's account to type.
set -euo pipefail
cd "$(dirname "$0")/.."

bin=${BIN:-.venv/bin}
target=${TARGET:-aws}
region=${REGION:-us-east-1}
instance=ml.c7i.large
stack=smoke
work=$(mktemp -d)
project=$work/smoke

for name in "${!CLOUDMODEL_@}"; do unset "$name"; done

show() { printf '\n$ %s\n' "$*"; }
cloudmodel() { show cloudmodel "$@"; "$bin/cloudmodel" -C "$project" "$@" </dev/null; }
refuse() { printf '%s\n' "$1" >&2; exit 2; }

made=
end() {
  status=$?
  trap - EXIT
  if [ -n "$made" ]; then
    cloudmodel destroy --stack "$stack" --yes || {
      status=$?
      printf '\nNot everything is deleted: %s keeps the state. Run there: cloudmodel destroy --stack %s\n' \
        "$project" "$stack" >&2
      exit "$status"
    }
  fi
  if [ "$target" = local ] && [ -d "$project/.cloudmodel" ]; then cloudmodel local stop || status=$?; fi
  rm -rf "$work"
  [ "$status" -eq 0 ] || printf '\nThe smoke test failed or was refused (exit code %s).\n' "$status" >&2
  exit "$status"
}
trap end EXIT

case $target in
  aws) [ -n "${IMAGE:-}" ] || refuse "IMAGE is missing: a serving image with onnxruntime in your account's registry." ;;
  local) ;;
  *) refuse "TARGET is aws or local, not $target." ;;
esac

account=$("$bin/python" tools/smoke_facts.py account "$target" "$region")
"$bin/python" tools/smoke_facts.py price "$instance"
printf 'In account %s, region %s: a bucket, a key, a role, an endpoint on one %s, alarms, a dashboard, logs.\n' \
  "$account" "$region" "$instance"
printf 'The key is kept for 30 days after its deletion, as AWS does it. Everything else is deleted at the end.\n'
printf 'Type the id of the account to go on: '
read -r typed || typed=
[ "$typed" = "$account" ] || refuse "That is not the account. Nothing was made."

"$bin/cloudmodel" init "$project" --template digits </dev/null
digest=$("$bin/cloudmodel" -C "$project" package --json </dev/null | "$bin/python" -c 'import json, sys; print(json.load(sys.stdin)["digest"])')
{
  printf 'config:\n  aws:region: %s\n  cloudmodel:target: %s\n  cloudmodel:bundle: %s\n' "$region" "$target" "$digest"
  printf '  cloudmodel:instance: %s\n  cloudmodel:scaling: {min: 1, max: 2}\n' "$instance"
  [ "$target" = local ] || printf '  aws:allowedAccountIds: ["%s"]\n  cloudmodel:existing: {image: "%s"}\n' "$account" "$IMAGE"
} >"$project/Pulumi.$stack.yaml"

cloudmodel preview --stack "$stack"
made=yes
cloudmodel up --stack "$stack" --yes
"$bin/python" tools/demo_digits.py images "$project/data/heldout.npz" "$work/images.npy"
show cloudmodel invoke --stack "$stack" --input "$work/images.npy" --json
"$bin/cloudmodel" -C "$project" invoke --stack "$stack" --input "$work/images.npy" --json </dev/null >"$work/answer.json"
"$bin/python" tools/demo_digits.py answers "$project/data/heldout.npz" "$work/answer.json"
cloudmodel up --stack "$stack" --yes --expect-no-changes
cloudmodel refresh --stack "$stack" --yes --expect-no-changes
