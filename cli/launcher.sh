#!/usr/bin/env sh
# The command tmqserver: finds Bun and runs the program with it.

# Package managers link to this file from another folder; the program lies beside the file itself.
self=$0
case $self in */*) ;; *) self=./$self ;; esac
linked=${self%/*}
while [ -L "$self" ]; do
  link=$(readlink "$self") || break
  case $link in
    /*) self=$link ;;
    *) self=${self%/*}/$link ;;
  esac
done

# On PATH; where Bun's installer puts it; where the npm package "bun" has its command, beside this one.
for bun in bun "${BUN_INSTALL:-${HOME-}/.bun}/bin/bun" "$linked/bun"; do
  command -v "$bun" >/dev/null && exec "$bun" "${self%/*}/cli/main.js" "$@"
done

printf '%s\n' >&2 \
  'tinyMQ runs on Bun, which is not installed here. Get it from https://bun.com:' \
  '' \
  '  curl -fsSL https://bun.com/install | bash' \
  '  npm install --global bun' \
  '  npm install bun              (for this project only)' \
  '' \
  'Then run this command again. (Looked on PATH, in ~/.bun, and beside this command.)'
exit 1
