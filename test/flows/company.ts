// A small company for the story tests: users with hashed passwords, a group, rules, certificates, one folder on disk.
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { hashPassword } from '../../broker/password.ts'
import { temporaryFolder } from '../helpers/broker.ts'
import { makeCertificates, type TestCertificates } from '../helpers/certificates.ts'

/** alice, bob and carol are the group `family`; dave is in no group; `backend` commands the devices. */
export const people = ['alice', 'bob', 'carol', 'dave', 'sensor1', 'backend'] as const
export type Name = (typeof people)[number]

export interface Company {
  readonly folder: string
  readonly configPath: string
  readonly certificates: TestCertificates
}

/** In the order of the listeners in the config. */
export const transports = ['tcp', 'tls', 'ws', 'wss'] as const
export type Transport = (typeof transports)[number]

export function passwordOf(name: Name): string {
  return `the long password of ${name}`
}

/** `more`: further lines of oriole.yaml, for example limits. */
export async function makeCompany(t: TestContext, more = ''): Promise<Company> {
  const folder = await temporaryFolder(t)
  const certificates = await makeCertificates(folder)
  const hashes = await Promise.all(people.map((name) => hashPassword(passwordOf(name))))
  const configPath = join(folder, 'oriole.yaml')
  await Promise.all([
    writeFile(join(folder, 'users.yaml'), people.map((name, index) => `${name}: "${hashes[index]}"\n`).join('')),
    writeFile(join(folder, 'groups.yaml'), groups),
    writeFile(join(folder, 'acl.yaml'), rules),
    writeFile(configPath, configOf(certificates, more)),
  ])
  return { folder, configPath, certificates }
}

const groups = `
family: { members: [alice, bob, carol], admins: [alice] }
machines: { members: [backend] }
`

const rules = `
- allow: { subscribe: ["im/u/{user}/#"], publish: ["im/u/+/{user}"] }
- allow: { groups: "*", subscribe: ["im/g/{group}/#"], publish: ["im/g/{group}/{user}"] }
- allow: { publish: ["dev/{user}/#"], subscribe: ["cmd/{user}/#"] }
- allow: { groups: [machines], subscribe: ["dev/#"], publish: ["cmd/#"] }
`

function configOf({ server }: TestCertificates, more: string): string {
  const pair = `certificate: ${server.certificate}, key: ${server.key}`
  return `
node: company
listeners:
  - { name: tcp, type: tcp, port: 0 }
  - { name: tls, type: tls, port: 0, ${pair} }
  - { name: ws, type: ws, port: 0 }
  - { name: wss, type: wss, port: 0, ${pair} }
store: { type: level, path: ./data, durability: disk }
admin: { enabled: false }
plugins:
  - auth-file: { users: users.yaml, admin: false }
  - groups: { file: groups.yaml }
  - acl-file: { rules: acl.yaml }
${more}
`
}
