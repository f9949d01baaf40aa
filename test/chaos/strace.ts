// What a process asked of the kernel, read off strace: files, folders and sockets, call by call.
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { setTimeout as wait } from 'node:timers/promises'
import { promisify } from 'node:util'

const run = promisify(execFile)
/** Longer than any piece of data: nothing is cut off. */
const stringMaxBytes = 100_000_000
const calls = [
  ...['open', 'openat', 'creat', 'close', 'mkdir', 'rename', 'renameat', 'renameat2', 'unlink', 'unlinkat'],
  ...['read', 'readv', 'recvfrom', 'recvmsg', 'write', 'writev', 'pwrite64', 'pwritev', 'sendto', 'sendmsg'],
  ...['fsync', 'fdatasync', 'ftruncate', 'truncate', 'fallocate', 'link', 'linkat', 'copy_file_range', 'accept4'],
]

/** False: it is not installed, or this process may not trace others, as in many containers. */
export async function canTrace(): Promise<boolean> {
  return run('strace', ['-f', '-o', '/dev/null', 'true']).then(
    () => true,
    () => false,
  )
}

/** Runs a program under strace. The process is the program itself: the tracer stands beside it. */
export function tracedInto(path: string): readonly string[] {
  const output = ['-v', '-q', '-a', '1', '-s', `${stringMaxBytes}`, '-e', 'signal=SIGKILL', '-o', path]
  return ['strace', '-D', '-f', '--seccomp-bpf', ...output, '-e', `trace=${calls.join()}`]
}

export interface Call {
  readonly name: string
  /** As strace prints them. */
  readonly args: string
  /** Undefined: the process ended before it returned. -1 is an error. */
  result: number | undefined
}

/** A call begins and ends; between the two other threads have calls of their own. */
export interface Step {
  readonly call: Call
  readonly isEnd: boolean
}

/** After the process has ended. */
export async function readTrace(path: string): Promise<readonly Step[]> {
  // The tracer writes what it still has after the end of the process.
  for (;;) {
    const text = await readFile(path, 'latin1')
    const pid = /^\d+/.exec(text)?.[0]
    if (pid !== undefined && new RegExp(`^${pid} +\\+\\+\\+ `, 'm').test(text.slice(-100_000))) return stepsOf(text)
    await wait(20)
  }
}

function stepsOf(text: string): readonly Step[] {
  const steps: Step[] = []
  const open = new Map<string, Call>()
  for (const line of text.split('\n')) {
    const found = /^(\d+) +(?:<\.\.\. \w+ resumed>|(\w+)\()/.exec(line)
    if (found === null) continue
    const [head, pid, name] = found as unknown as [string, string, string | undefined]
    const isUnfinished = line.endsWith('<unfinished ...>')
    const end = isUnfinished ? line.length - '<unfinished ...>'.length : line.lastIndexOf(') = ')
    if (name === undefined) {
      const call = open.get(pid)
      open.delete(pid)
      if (call === undefined || end < 0) continue
      const whole = { name: call.name, args: call.args + line.slice(head.length, end) }
      steps.push({
        call: Object.assign(call, whole, { result: Number.parseInt(line.slice(end + 4), 10) }),
        isEnd: true,
      })
      continue
    }
    if (end < 0) continue
    const call: Call = { name, args: line.slice(head.length, end), result: undefined }
    steps.push({ call, isEnd: false })
    if (isUnfinished) open.set(pid, call)
    else {
      call.result = Number.parseInt(line.slice(end + 4), 10)
      steps.push({ call, isEnd: true })
    }
  }
  return steps
}

/** The file descriptor that is the first argument. */
export function descriptorOf({ args }: Call): number {
  return Number.parseInt(args, 10)
}

/** All strings among the arguments, one after the other: the data of a read or a write, or a path. */
export function stringsOf({ args }: Call): Buffer[] {
  const strings: Buffer[] = []
  for (let start = args.indexOf('"'); start >= 0; ) {
    let end = args.indexOf('"', start + 1)
    while (isEscaped(args, end)) end = args.indexOf('"', end + 1)
    strings.push(unescaped(args.slice(start + 1, end)))
    start = args.indexOf('"', end + 1)
  }
  return strings
}

function isEscaped(text: string, at: number): boolean {
  let before = at - 1
  while (text[before] === '\\') before -= 1
  return (at - before) % 2 === 0
}

const letters: Readonly<Record<string, number>> = { n: 10, t: 9, r: 13, v: 11, f: 12, '"': 34, '\\': 92 }

/** Bytes that cannot be printed are octal, with as few digits as can be. */
function unescaped(text: string): Buffer {
  const bytes = Buffer.allocUnsafe(text.length)
  let length = 0
  for (let at = 0; at < text.length; length += 1) {
    if (text[at] !== '\\') {
      bytes[length] = text.charCodeAt(at)
      at += 1
      continue
    }
    const letter = letters[text[at + 1]!]
    if (letter !== undefined) {
      bytes[length] = letter
      at += 2
      continue
    }
    let value = 0
    let digit = at + 1
    for (; digit < at + 4 && text[digit]! >= '0' && text[digit]! <= '7'; digit += 1) {
      value = value * 8 + Number(text[digit])
    }
    bytes[length] = value
    at = digit
  }
  return bytes.subarray(0, length)
}
