// auth-file: usernames and password hashes from one YAML file, and tokens of devices from another.
import { basename } from 'node:path'
import { z } from 'zod'
import { type AuthenticateAnswer, definePlugin, type Identity } from '../broker/plugin.ts'
import { type Devices, devicesFile, userOfDevice } from './auth/devices.ts'
import { adminIdentity, adminName, firstAdmin } from './auth/first-admin.ts'
import { Rehasher } from './auth/rehash.ts'
import { accessOfUsers, isKnownPassword, type User, usersOf, usersSchema } from './auth/users.ts'
import { createVerifier, type Verdict } from './auth/verifier.ts'

const noPassword: AuthenticateAnswer = Object.freeze({ deny: 'auth-file: no password was given' })
const wrong: AuthenticateAnswer = Object.freeze({ deny: 'auth-file: unknown user or wrong password' })
const disabled: AuthenticateAnswer = Object.freeze({ deny: 'auth-file: the user is disabled' })
const changed: AuthenticateAnswer = Object.freeze({ deny: 'auth-file: the user has another password now' })
const removed: AuthenticateAnswer = Object.freeze({ deny: 'auth-file: the user was removed' })
const busy: AuthenticateAnswer = Object.freeze({ deny: 'auth-file: too many logins at once', busy: true })
const wellKnown: AuthenticateAnswer = Object.freeze({
  deny: 'auth-file: the password is a well-known one; set another with `oriole passwd`',
})

/** Clients without a username are left to the next plugin; everyone else gets an answer here. */
export default definePlugin({
  name: 'auth-file',
  config: z.strictObject({
    users: z.string().min(1).describe('YAML file, relative to the config file; reloaded when it changes'),
    devices: z.string().min(1).optional().describe('file of `oriole device`; reloaded when it changes'),
    admin: z
      .boolean()
      .default(true)
      .describe('when the file has no user "admin", make one with a random password at the first start'),
  }),
  files: { users: usersSchema, devices: devicesFile },
  secretFiles: ['users', 'devices'],
  access: ({ admin }, { users, devices }) => {
    const known = usersOf(users.value)
    const others = [...(devices?.value ?? [])].map(([name, device]) => [name, userOfDevice(name, device)] as const)
    if (admin) others.push([adminName, { hash: '', disabled: false, identity: adminIdentity }])
    const isCovered = others.every(([name]) => known.has(name))
    const access = accessOfUsers(isCovered ? known : new Map([...others, ...known]), users)
    if (devices === undefined) return access
    return {
      ...access,
      origin(username, membership) {
        const groups = known.has(username) ? undefined : devices.value.get(username)?.groups
        if (groups === undefined) return access.origin?.(username, membership) ?? []
        const isMember = 'group' in membership && groups.includes(membership.group)
        return isMember ? [`${username} has the group ${membership.group}: ${basename(devices.path)}`] : []
      },
    }
  },

  async setup(broker, { admin }, { users: file, devices: devicesOf }) {
    const verifier = createVerifier()
    const rehasher = new Rehasher(file.path, broker.log)
    broker.onStop(() => rehasher.stop())
    /** By which hash somebody came in, who may be on the way into the house when the file changes. */
    const proven = new WeakMap<Identity, string>()
    let known: Known = { users: usersOf(file.value), devices: devicesOf?.value ?? new Map() }
    const ownAdmin = admin && !known.users.has(adminName) ? await firstAdmin(broker) : undefined
    const follow = (): void => {
      const slow = verifier.follow(Array.from(known.users.values(), ({ hash }) => hash))
      if (slow.length === 0) return
      broker.log.warn({ kinds: slow }, 'password hashes that cost too much: the time of an answer tells who has one')
    }
    follow()
    const find = ({ users, devices }: Known, username: string): User | undefined => {
      const device = devices.get(username)
      const user = users.get(username) ?? (device === undefined ? undefined : userOfDevice(username, device))
      return user ?? (username === adminName ? ownAdmin : undefined)
    }

    function change(now: Known): void {
      const before = known
      known = now
      follow()
      const isChanged = (username: string) => !isSame(find(before, username), find(known, username))
      // Who has another password must prove it anew; what else changed is asked for by `confirm`, without a disconnect.
      for (const { id, identity } of broker.clients()) {
        const old = find(before, identity.username)
        const hash = find(known, identity.username)?.hash
        if (old === undefined || hash === old.hash || (hash !== undefined && rehasher.isOurs(hash))) continue
        broker.disconnect(id, 'user changed')
      }
      void broker.rightsChanged(({ identity }) => isChanged(identity.username))
    }
    file.onChange((users) => change({ ...known, users: usersOf(users) }))
    devicesOf?.onChange((devices) => change({ ...known, devices }))

    function answer(verdict: Verdict, username: string, password: Buffer, user: User | undefined): AuthenticateAnswer {
      if (verdict === 'busy') return busy
      // Looked up again: the file may have changed while the hash was made.
      const current = find(known, username)
      if (verdict === 'wrong' || user === undefined || current?.hash !== user.hash) return wrong
      if (current.disabled) return disabled
      if (isKnownPassword(username, password.toString())) return wellKnown
      if (verdict === 'outdated') rehasher.replace(username, password, user.hash)
      proven.set(current.identity, user.hash)
      return { identity: current.identity }
    }

    return {
      authenticate({ username, password }) {
        if (username === undefined) return undefined
        if (password === undefined) return noPassword
        const user = find(known, username)
        const verdict = verifier.verify(username, password, user?.hash)
        if (verdict instanceof Promise) return verdict.then((given) => answer(given, username, password, user))
        return answer(verdict, username, password, user)
      },
      confirm(identity) {
        const user = find(known, identity.username)
        if (user === undefined || user.disabled) return user === undefined ? removed : disabled
        const hash = proven.get(identity)
        if (hash !== undefined && hash !== user.hash && !rehasher.isOurs(user.hash)) return changed
        if (hash !== undefined) proven.set(user.identity, user.hash)
        return { identity: user.identity }
      },
    }
  },
})

/** A name that stands in both files is the user's. */
interface Known {
  readonly users: ReadonlyMap<string, User>
  readonly devices: Devices
}

function isSame(one: User | undefined, other: User | undefined): boolean {
  return JSON.stringify(one) === JSON.stringify(other)
}
