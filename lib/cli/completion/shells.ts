// The programs for the shells. A relative group is one below the memory hierarchy's mount, which each program looks
// for when it completes. Pure.
import type { Row, Rows, SHELLS, Values } from './rows.js'

const MOUNTS = ['/sys/fs/cgroup/memory', '/sys/fs/cgroup'] as const
const OF_ALL = ['--help', '--version'] as const

const quoted = (text: string): string => `'${text.replaceAll("'", String.raw`'\''`)}'`

function bash(commands: readonly Rows[]): string {
  const call = (values: Values): string => {
    if (typeof values === 'object') return `_cgroup_oom_words ${quoted(values.join(' '))}`
    const calls = { files: '_cgroup_oom_names -f', groups: '_cgroup_oom_groups' }
    return values === 'command' || values === 'unknown' ? ':' : calls[values]
  }
  const entries = (pattern: string, values: Values) => `    ${pattern}) ${call(values)} ;;`
  const valued = commands.flatMap(({ name, rows }) =>
    rows.flatMap(({ option, values }) => (values ? [entries(`${name}:${option}`, values)] : [])),
  )
  const rest = commands.map(({ name, rest }) => entries(`${name}:*`, rest))
  const options = commands.map(({ name, rows }) =>
    entries(
      name,
      rows.map(({ option }) => option),
    ),
  )
  const first = [...commands.map(({ name }) => name), ...OF_ALL]
  return `_cgroup_oom_words() { mapfile -t COMPREPLY < <(compgen -W "$1" -- "$cur"); }
_cgroup_oom_names() {
  compopt -o filenames 2>/dev/null
  mapfile -t COMPREPLY < <(compgen "$1" -- "$cur")
}
_cgroup_oom_groups() {
  local mount=${MOUNTS[0]}
  [[ -d $mount ]] || mount=${MOUNTS[1]}
  compopt -o filenames -o nospace 2>/dev/null
  mapfile -t COMPREPLY < <(cd "$mount" 2>/dev/null; compgen -d -- "$cur")
}
_cgroup_oom() {
  local cur=\${COMP_WORDS[COMP_CWORD]} i
  COMPREPLY=()
  for ((i = 2; i < COMP_CWORD; i++)); do
    [[ \${COMP_WORDS[i]} == -- ]] || continue
    if declare -F _command_offset >/dev/null; then _command_offset $((i + 1)) # of bash-completion
    elif ((COMP_CWORD == i + 1)); then _cgroup_oom_names -c
    else _cgroup_oom_names -f
    fi
    return
  done
  if ((COMP_CWORD == 1)); then
    _cgroup_oom_words ${quoted(first.join(' '))}
  elif [[ $cur == -* ]]; then
    case \${COMP_WORDS[1]} in
${options.join('\n')}
    esac
  else
    case \${COMP_WORDS[1]}:\${COMP_WORDS[COMP_CWORD - 1]} in
${[...valued, ...rest].join('\n')}
    esac
  fi
}
complete -F _cgroup_oom cgroup-oom
`
}

function zsh(commands: readonly Rows[]): string {
  const action = (values: Values): string => {
    if (typeof values === 'object') return `(${values.join(' ')})`
    return { files: '_files', groups: '_cgroup_oom_groups', command: ' ', unknown: ' ' }[values]
  }
  const plain = (text: string) => text.replaceAll(/[[\]:\\]/g, String.raw`\$&`)
  const option = ({ option, text, values, optional }: Row) => {
    const after = values && `${optional ? '::' : ':'}value:${action(values)}`
    return quoted(`${option}[${plain(text)}]${after ?? ''}`)
  }
  const cases = commands.map(({ name, rows, rest }) => {
    const all = rest === 'unknown' || rest === 'command' ? [] : [quoted(`*:value:${action(rest)}`)]
    return `    ${name}) _arguments -S ${[...rows.map(option), ...all].join(' ')} ;;`
  })
  const first = [...commands.map(({ name, summary }) => quoted(`${name}:${summary}`)), ...OF_ALL]
  return `#compdef cgroup-oom
_cgroup_oom_groups() {
  local mount=${MOUNTS[0]}
  [[ -d $mount ]] || mount=${MOUNTS[1]}
  _path_files -/ -W $mount
}
_cgroup_oom() {
  local -a commands=(${first.join(' ')})
  if ((CURRENT == 2)); then
    _describe command commands
    return
  fi
  local -i end=$words[(i)--]
  if ((end < CURRENT)); then
    shift end words
    ((CURRENT -= end))
    _normal
    return
  fi
  shift words
  ((CURRENT--))
  case $words[1] in
${cases.join('\n')}
  esac
}
compdef _cgroup_oom cgroup-oom
`
}

function fish(commands: readonly Rows[]): string {
  const quotedHere = (text: string) => `'${text.replaceAll(/[\\']/g, String.raw`\$&`)}'`
  const complete = (when: string, what: string, text?: string) =>
    `complete -c cgroup-oom -n ${quotedHere(when)} ${what}${text ? ` -d ${quotedHere(text)}` : ''}`
  const given = (values: Values): string => {
    if (typeof values === 'object') return `-a ${quotedHere(values.join(' '))}`
    const ways = { files: '-F', groups: "-a '(__cgroup_oom_groups)'" }
    return values === 'command' || values === 'unknown' ? '' : ways[values]
  }
  const option = ({ option, values, optional }: Row) => {
    const value = values === undefined || optional ? '' : ` -r ${given(values)}`
    return `-l ${option.slice(2)}${value}`.trimEnd()
  }
  const lines = commands.flatMap(({ name, summary, rows, rest }) => [
    complete('__cgroup_oom_first', `-a ${name}`, summary),
    ...rows.map(row => complete(`__cgroup_oom_in ${name}`, option(row), row.text)),
    ...(given(rest) === '' ? [] : [complete(`__cgroup_oom_in ${name}`, given(rest))]),
  ])
  const all = OF_ALL.map(name => complete('__cgroup_oom_first', `-l ${name.slice(2)}`))
  return `function __cgroup_oom_first
    test (count (commandline -opc)) -eq 1
end
function __cgroup_oom_in
    set -l words (commandline -opc)
    test (count $words) -gt 1; and test $words[2] = $argv[1]; and not contains -- -- $words
end
function __cgroup_oom_after
    contains -- -- (commandline -opc)
end
function __cgroup_oom_command
    set -l words (commandline -opc)
    set -l end (contains -i -- -- $words)
    complete -C (string join ' ' -- (string escape -- $words[(math $end + 1)..]) (commandline -ct))
end
function __cgroup_oom_groups
    set -l word (commandline -ct)
    set -l mount ${MOUNTS[0]}
    test -d $mount; or set mount ${MOUNTS[1]}
    string match -q '/*' -- $word; and set mount ''
    set -l found $mount/(string trim -l -c / -- $word)*/
    test -n "$mount"; and set found (string replace -- $mount/ '' $found)
    string join \\n -- $found
end
complete -c cgroup-oom -f
${[...lines, ...all].join('\n')}
complete -c cgroup-oom -n __cgroup_oom_after -a '(__cgroup_oom_command)'
`
}

export const PROGRAMS: Readonly<
  Record<(typeof SHELLS)[number], (commands: readonly Rows[]) => string>
> = { bash, zsh, fish }
