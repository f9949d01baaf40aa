// mosquitto from Debian's package, in memory, with its password file and its ACL file.
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { password } from '../generator.ts'
import { scratchFolder } from '../places.ts'
import { cores, findProgram, freePort, run, startPinned, Unavailable } from '../programs.ts'
import type { Bench } from '../row.ts'
import type { Scope } from '../scope.ts'
import { accepts } from './accepts.ts'
import { type RunningBroker, usernames } from './broker.ts'

export async function startMosquitto(bench: Bench, scope: Scope): Promise<RunningBroker> {
  const program = findProgram('mosquitto')
  if (program === undefined) throw new Unavailable('mosquitto is not here; on Debian: sudo apt-get install mosquitto')
  const folder = await scratchFolder(scope)
  const port = await freePort()
  const users = await bench.once('mosquitto users', makeUsers)
  await writeFile(join(folder, 'acl'), usernames.map((name) => `user ${name}\ntopic readwrite bench/#\n`).join('\n'))
  await writeFile(join(folder, 'mosquitto.conf'), settings(port, users, join(folder, 'acl')))
  const started = startPinned(scope, program, ['-c', join(folder, 'mosquitto.conf')], { core: cores.broker })
  await accepts(port, started)
  return { pid: started.pid, port, stop: () => started.stop('SIGTERM') }
}

/** As Oriole has it where that matters: the same window, nothing dropped. `root`: it may read its files in our folder. */
function settings(port: number, users: string, rules: string): string {
  return `
user root
listener ${port} 127.0.0.1
allow_anonymous false
password_file ${users}
acl_file ${rules}
persistence false
max_inflight_messages 100
max_queued_messages 0
max_queued_bytes 0
`
}

async function makeUsers(scope: Scope): Promise<string> {
  const program = findProgram('mosquitto_passwd')
  if (program === undefined) throw new Unavailable('mosquitto_passwd is not here; it is in the package mosquitto')
  const path = join(await scratchFolder(scope), 'passwords')
  await writeFile(path, usernames.map((name) => `${name}:${password}\n`).join(''), { mode: 0o600 })
  await run(program, ['-U', path])
  return path
}
