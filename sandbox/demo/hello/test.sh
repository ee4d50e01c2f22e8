#!/usr/bin/env bash
set -eu
[[ $(./hello) == "hello world" ]]
echo "ok: hello says what it should"
