// The few lines that a person sees at the start: where it listens, where the data lies, how to send a first message.
import { resolve } from 'node:path'
import type { Config } from '../config/schema.ts'
import type { Listener } from '../listeners/listener.ts'
import { howToCall, packageVersion } from '../package-root.ts'
import type { Running } from '../running.ts'

/** What there is to show of a running broker, or of several behind one port. */
export type Shown = Pick<Running, 'config' | 'adminUrl' | 'adminPassword' | 'announcements' | 'dataDir'> & {
  readonly listeners: readonly Pick<Listener, 'name' | 'url' | 'port'>[]
}

export function bannerText(running: Shown): string {
  const { config, listeners, adminUrl, dataDir, adminPassword, announcements = [] } = running
  const rows: [string, string][] = [
    ...listeners.map(({ name, url }, index): [string, string] => [index === 0 ? 'listens' : '', `${url}  (${name})`]),
    ['admin', adminUrl === undefined ? 'off' : `${adminUrl}  (/live /ready /metrics)`],
    ['data', dataText(config, dataDir)],
  ]
  if (adminPassword !== undefined) {
    rows.push(['user', `admin, password ${adminPassword}  (shown only now; only its hash is kept)`])
  }
  // The same password in other words helps nobody.
  for (const line of announcements) {
    if (adminPassword === undefined || !line.includes(adminPassword)) rows.push(['note', line])
  }
  const table = rows.map(([name, text]) => `  ${name.padEnd(8)} ${text}`).join('\n')
  return `\nOriole ${packageVersion()}, node "${config.node}"\n${table}\n${firstMessage(running)}\n`
}

function dataText(config: Config, dataDir: string | undefined): string {
  const { store } = config
  if (store.type === 'memory') return 'in memory only: the end of the process loses retained and offline messages'
  const survives = {
    disk: 'acknowledged means on disk: survives a power cut',
    os: 'survives the end of the process, not a power cut',
    memory: 'written later: the last moments are lost when the process ends',
  }[store.durability]
  return `${dataDir ?? resolve(store.path)}  (durability ${store.durability}: ${survives})`
}

/** Two lines to copy, for the two terminals of a first message. */
function firstMessage({ config, listeners, adminPassword }: Shown): string {
  const listener = ['mqtt:', 'ws:', 'mqtts:', 'wss:']
    .map((scheme) => listeners.find(({ url }) => url.startsWith(scheme)))
    .find((found) => found !== undefined)
  if (listener === undefined) return ''
  const anonymous = config.plugins.some(
    (entry) => entry === 'auth-anonymous' || Object.hasOwn(Object(entry), 'auth-anonymous'),
  )
  const user = anonymous ? '' : ` -u admin${adminPassword === undefined ? '' : ` -P ${adminPassword}`}`
  const common = `${whereOption(listener)}${user}`
  const call = howToCall()
  const asks = anonymous || adminPassword !== undefined ? '' : ' (they ask for the password of admin)'
  return `
A first message, in two other terminals${asks}:
  ${call} sub${common} -v -t 'im/u/admin/#'
  ${call} pub${common} -t im/u/admin/admin -m 'Hello'
`
}

/** Nothing where the defaults of `pub` and `sub` lead to it anyway. */
function whereOption({ url, port }: Pick<Listener, 'url' | 'port'>): string {
  const reachable = url.replace(/\/\/(0\.0\.0\.0|\[::\])/, '//127.0.0.1')
  if (reachable === `mqtt://127.0.0.1:${port}`) return port === 1883 ? '' : ` -p ${port}`
  const secure = /^(mqtts|wss):/.test(reachable)
  return ` --url ${reachable}${secure ? ' --insecure' : ''}`
}
