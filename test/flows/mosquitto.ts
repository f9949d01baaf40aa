// Stock MQTT clients made of real `mosquitto_pub` and `mosquitto_sub` processes.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { TestContext } from 'node:test'
import { type Name, passwordOf } from './company.ts'
import type { Place, StockClients, Version } from './stock-clients.ts'

/** Stands before a message, so that it is not mistaken for what `-d` prints. */
const mark = 'MESSAGE '

/** They speak TCP and TLS; WebSocket is not built into the packaged ones. */
export function mosquittoClients(t: TestContext, place: Place, version: Version): StockClients {
  const common = (name: Name, device: string): string[] => [
    ...whereTo(place),
    ...['-V', version === 5 ? 'mqttv5' : 'mqttv311', '-q', '1', '-d'],
    ...['-i', `${name}-${device}`, '-u', name, '-P', passwordOf(name)],
  ]
  return {
    async join(name, filters, device = 'phone') {
      const session = version === 5 ? ['-c', '-x', '3600'] : ['-c']
      const topics = filters.flatMap((filter) => ['-t', filter])
      const process = run(t, 'mosquitto_sub', [
        ...common(name, device),
        ...session,
        ...topics,
        ...['-F', `${mark}%t %p`],
      ])
      await process.line(/^Subscribed \(mid: \d+\): 1(, 1)*$/)
      const received = (): string[] =>
        process.lines.filter((line) => line.startsWith(mark)).map((line) => line.slice(mark.length))
      return {
        get received() {
          return received()
        },
        async messages(count) {
          await process.until(() => received().length >= count)
          return received().slice(0, count)
        },
        leave: () => process.stop(),
      }
    },
    async publish(name, topic, texts, retain = false) {
      const args = [...common(name, 'laptop'), '-t', topic, '-l', ...(retain ? ['-r'] : [])]
      const process = run(t, 'mosquitto_pub', args, `${texts.join('\n')}\n`)
      const code = await process.ended
      const acknowledged = process.lines.filter((line) => /received PUBACK .*RC:0\)/.test(line)).length
      if (code !== 0 || acknowledged !== texts.length) throw new Error(process.lines.join('\n'))
    },
    async subscribeCode(name, filter) {
      const process = run(t, 'mosquitto_sub', [...common(name, 'laptop'), '-t', filter])
      const line = await process.line(/^Subscribed \(mid: \d+\): (\d+)$/)
      process.cut()
      return Number(line[1])
    },
    async publishOutcome(name, topic) {
      const process = run(t, 'mosquitto_pub', [...common(name, 'laptop'), '-t', topic, '-m', 'not for you'])
      await process.ended
      const output = process.lines.join('\n')
      const code = /received PUBACK \(Mid: \d+, RC:(\d+)\)/.exec(output)?.[1]
      if (code !== undefined) return Number(code)
      if (/connection was lost/i.test(output)) return 'closed'
      throw new Error(output)
    },
  }
}

function whereTo({ url, ca }: Place): string[] {
  const { hostname, port, protocol } = new URL(url)
  return ['-h', hostname, '-p', port, ...(protocol === 'mqtts:' ? ['--cafile', ca] : [])]
}

interface Running {
  /** Both outputs, line by line. */
  readonly lines: readonly string[]
  /** The exit code. */
  readonly ended: Promise<number | null>
  until(isDone: () => boolean): Promise<void>
  line(pattern: RegExp): Promise<RegExpExecArray>
  /** With DISCONNECT. Not while it ends by itself: its signal handler may then wait for its own lock for ever. */
  stop(): Promise<void>
  cut(): void
}

function run(t: TestContext, command: string, args: readonly string[], input = ''): Running {
  // Through a pipe the C library would keep what was printed; line by line it can be waited for.
  const child: ChildProcess = spawn('stdbuf', ['-oL', '-eL', command, ...args])
  t.after(() => child.kill('SIGKILL'))
  // A program that reads no input may have ended before it is written.
  child.stdin?.on('error', () => {}).end(input)
  const lines: string[] = []
  let waiting: (() => void)[] = []
  const wake = (): void => {
    const all = waiting
    waiting = []
    for (const look of all) look()
  }
  for (const stream of [child.stdout, child.stderr]) {
    if (stream === null) continue
    createInterface({ input: stream }).on('line', (line) => {
      lines.push(line)
      wake()
    })
  }
  const ended = once(child, 'close').then(([code]) => {
    wake()
    return code as number | null
  })
  const until = async (isDone: () => boolean): Promise<void> => {
    while (!isDone()) {
      if (child.exitCode !== null) throw new Error(`${command} ended too early:\n${lines.join('\n')}`)
      await new Promise<void>((resolve) => waiting.push(resolve))
    }
  }
  return {
    lines,
    ended,
    until,
    async line(pattern) {
      let found: RegExpExecArray | undefined
      await until(() => {
        found = lines.map((line) => pattern.exec(line)).find((match) => match !== null) ?? undefined
        return found !== undefined
      })
      return found!
    },
    async stop() {
      child.kill('SIGTERM')
      await ended
    },
    cut: () => void child.kill('SIGKILL'),
  }
}
