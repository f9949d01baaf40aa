// Oriole as a user runs it: the built command, a config file, users, groups and rules in files, every PUBACK on disk.
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { hashPassword } from '../../broker/password.ts'
import { groupLines, ruleLines, userLines } from '../access-files.ts'
import { collectable, collectGarbage } from '../collect-garbage.ts'
import { password } from '../generator.ts'
import { commandLine, repository, scratchFolder } from '../places.ts'
import { cores, findProgram, freePort, run, startPinned } from '../programs.ts'
import type { Bench } from '../row.ts'
import type { Scope } from '../scope.ts'
import { type BrokerOptions, type RunningBroker, usernames } from './broker.ts'

export async function startOriole(bench: Bench, scope: Scope, options: BrokerOptions = {}): Promise<RunningBroker> {
  const folder = await scratchFolder(scope)
  const [port, webSocketPort, tlsPort] = [await freePort(), await freePort(), await freePort()]
  const certificate = await bench.once('certificate', makeCertificate)
  const dataFolder = options.dataFolder ?? join(folder, 'data')
  const { workers } = options
  const bothCores = `${cores.broker},${cores.generator}`
  const listeners = [
    { name: 'tcp', type: 'tcp', port },
    { name: 'ws', type: 'ws', port: webSocketPort },
    ...(certificate === undefined ? [] : [{ name: 'tls', type: 'tls', port: tlsPort, ...certificate }]),
  ]
  const config = {
    listeners,
    store: { type: 'level', path: dataFolder, durability: 'disk' },
    limits: { sessionsPerUser: 1_000_000, ...options.limits },
    admin: { enabled: false },
    plugins: [
      { 'auth-file': { users: 'users.yaml', admin: false } },
      { groups: { file: 'groups.yaml' } },
      { 'acl-file': { rules: 'acl.yaml' } },
    ],
    log: { format: 'json' },
    ...(options.cluster === undefined ? {} : { node: options.cluster.node, ...clusterAt(options.cluster.redisPort) }),
    ...(workers === undefined ? {} : { workers: workers.count, ...clusterAt(workers.redisPort) }),
  }
  // JSON is YAML.
  await writeFile(join(folder, 'oriole.yaml'), JSON.stringify(config))
  const isLarge = options.access === 'a large company'
  const users = [await bench.once('users', usersText), ...(isLarge ? userLines : [])]
  const groups = [`bench: { members: [${usernames.join(', ')}] }`, ...(isLarge ? groupLines : [])]
  const rules = [...(options.access === 'one rule' ? [] : shippedRules), ...(isLarge ? ruleLines : []), ownRule]
  await writeFile(join(folder, 'users.yaml'), textOf(users), { mode: 0o600 })
  await writeFile(join(folder, 'groups.yaml'), textOf(groups))
  await writeFile(join(folder, 'acl.yaml'), textOf(rules))

  const profiling =
    bench.profiles === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${bench.profiles}`, '--cpu-prof-interval=200']
  // Workers count the inspector's port up from that of the supervisor, and from none they cannot.
  const args = [
    ...(await startFlags()),
    ...(workers === undefined ? collectable : []),
    ...profiling,
    commandLine,
    'start',
    '--config',
    join(folder, 'oriole.yaml'),
  ]
  const begin = performance.now()
  const started = startPinned(scope, bench.node, args, {
    core: workers === undefined ? cores.broker : bothCores,
    cwd: folder,
  })
  await started.printed((workers?.count ?? 1) > 1 ? /"msg":"workers ready"/ : /"msg":"ready"/, 300_000)
  const startedInS = (performance.now() - begin) / 1_000
  return {
    startedInS,
    pid: started.pid,
    port,
    webSocketPort,
    tlsPort,
    dataFolder,
    ...(workers === undefined ? {} : { loadCores: bothCores }),
    collectGarbage: () => collectGarbage(started),
    stop: () => started.stop('SIGTERM'),
  }
}

function clusterAt(redisPort: number): object {
  return { cluster: { key: 'of no cluster but that of the bench', redis: { port: redisPort } } }
}

/** Node's own flags, as `npm start` gives them. */
async function startFlags(): Promise<string[]> {
  const { scripts } = JSON.parse(await readFile(join(repository, 'package.json'), 'utf8')) as PackageFile
  return scripts.start.split(' ').filter((word) => word.startsWith('--'))
}

interface PackageFile {
  readonly scripts: { readonly start: string }
}

/** And one for the row about retained messages. */
const shippedRules = [
  '- allow: { subscribe: ["im/u/{user}/#"], publish: ["im/u/+/{user}"] }',
  '- allow: { subscribe: ["im/u/+/{user}"] }',
  '- allow: { groups: "*", subscribe: ["im/g/{group}/#"], publish: ["im/g/{group}/{user}"] }',
  '- allow: { subscribe: ["im/p/+"] }',
  '- allow: { publish: ["dev/{user}/#"], subscribe: ["cmd/{user}/#"] }',
  '- allow: { users: [bench], subscribe: ["+/x/#"] }',
]
const ownRule = '- allow: { groups: [bench], publish: ["bench/#"], subscribe: ["bench/#"] }'

function textOf(lines: readonly string[]): string {
  return `${lines.join('\n')}\n`
}

/** One hash for all: each login still costs its own check, the first time. */
async function usersText(): Promise<string> {
  const hash = await hashPassword(password)
  return usernames.map((name) => `${name}: "${hash}"`).join('\n')
}

async function makeCertificate(scope: Scope): Promise<{ certificate: string; key: string } | undefined> {
  const openssl = findProgram('openssl')
  if (openssl === undefined) return undefined
  const folder = await scratchFolder(scope)
  const [certificate, key] = [join(folder, 'server.pem'), join(folder, 'server.key')]
  const request = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2']
  await run(openssl, [...request, '-subj', '/CN=localhost', '-keyout', key, '-out', certificate])
  return { certificate, key }
}
