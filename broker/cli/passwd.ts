// `oriole passwd`: a password in, the line for users.yaml out.
import { hashPassword, makeToken } from '../password.ts'
import { saslprep } from '../saslprep.ts'
import { makeScramSecret } from '../scram.ts'
import { type Command, UsageError } from './command.ts'
import { CommandError } from './fail.ts'
import { askSecret, readStdin } from './secret-input.ts'
import { yamlKey } from './yaml-key.ts'

const inputMaxBytes = 65_536
/** Shorter ones are guessed; the broker cannot know who may try, so it is said and not forbidden. */
const shortLength = 8

export const command: Command = {
  summary: 'read a password and print its hash, for users.yaml',
  usage: '[USER]',
  details: `
The password is asked for twice without being shown, or is the first line of standard input:

  oriole passwd alice                    prints   alice: "scrypt$..."
  echo "$PASSWORD" | oriole passwd       prints   scrypt$...
  oriole passwd --scram alice            prints   alice: "SCRAM-SHA-256$..."

A machine needs no password that somebody can remember. --token makes one of 256 random bits. The line is printed on
standard output, the token itself once on standard error:

  oriole passwd --token sensor1          prints   sensor1: "token$..."`,
  options: {
    token: { help: 'make the password of a machine, which is checked in no time' },
    scram: { help: 'a SCRAM-SHA-256 secret, for the users file of auth-scram' },
  },
  positionalsMax: 1,

  async run(input) {
    const user = input.positionals[0]
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
    if (user !== undefined && /^$|[\u0000-\u001f\u007f-\u009f]/.test(user)) {
      throw new UsageError('a username has at least one character and no control characters', 'oriole passwd --help')
    }
    if (input.isSet('token')) {
      if (input.isSet('scram')) throw new UsageError('--token and --scram exclude each other', 'oriole passwd --help')
      const { token, hash } = makeToken()
      process.stderr.write(`oriole: the password${user === undefined ? '' : ` of ${user}`}, told only now: ${token}\n`)
      printLine(user, hash)
      return 0
    }
    const password = process.stdin.isTTY ? await askTwice() : firstLine(await readStdin(inputMaxBytes))
    if (password === '') throw new CommandError('the password is empty')
    if (Buffer.byteLength(password) > 65_535) throw new CommandError('the password is longer than MQTT can carry')
    if ([...password].length < shortLength) {
      process.stderr.write(`oriole: fewer than ${shortLength} characters are easily guessed; a longer one is better\n`)
    }
    const scram = input.isSet('scram')
    const name = user !== undefined && scram ? scramName(user) : user
    const hash = scram ? await scramSecret(password) : await hashPassword(password)
    printLine(name, hash)
    return 0
  },
}

function printLine(name: string | undefined, hash: string): void {
  process.stdout.write(name === undefined ? `${hash}\n` : `${yamlKey(name)}: "${hash}"\n`)
}

/** In the one form in which the broker looks it up, however it was typed. */
function scramName(user: string): string {
  const name = saslprep(user)
  if (name !== undefined && name !== '') return name
  throw new CommandError('the username has characters that SCRAM does not allow; use letters, digits and signs')
}

async function scramSecret(password: string): Promise<string> {
  const secret = await makeScramSecret(password)
  if (secret !== undefined) return secret
  throw new CommandError('the password has characters that SCRAM does not allow, such as control characters')
}

async function askTwice(): Promise<string> {
  const password = await askSecret('Password: ')
  if (password === '') return password
  if ((await askSecret('The same again: ')) === password) return password
  throw new CommandError('the two passwords differ; nothing was made')
}

function firstLine(input: Buffer): string {
  return input.toString('utf8').split(/\r?\n/, 1)[0] ?? ''
}
