// `oriole acl`: why somebody may or may not do something, and a table of what must hold.
import { type Answered, answer, type Question, questionMistake } from '../access-question.ts'
import { accessTestSchema, runAccessTest } from '../access-test.ts'
import { formatProblem } from '../config/problem.ts'
import { readYamlFile } from '../config/yaml-file.ts'
import { OrioleError } from '../errors.ts'
import { accessFiles, askRunning } from './access-files.ts'
import { type Command, type Input, UsageError } from './command.ts'
import { configPath } from './config-path.ts'

const help = 'oriole acl --help'

export const command: Command = {
  summary: 'explain a right, or test a table of rights',
  usage: 'explain USER publish|subscribe TOPIC [OPTIONS] | test FILE [--config FILE]',
  details: `
explain  says whether USER may do it, the rule that decides (file:line:column), what the rule reads for this user, how
         the user came to the groups and roles that count, and the rule that was nearest to the other answer. A broker
         that runs with this config is asked, and answers for the user's connected client, by the rules in use;
         otherwise, and with --files, the files as they are now are asked.
test     compares the files as they are now with a table of what must be allowed and denied (config/acl-test.yaml shows
         its form), and exits with 1 when they differ.`,
  options: {
    client: { value: 'ID', help: 'client id; without it the one of the connected client, else the name of the user' },
    address: { value: 'IP', help: 'from where the client connects; else that of the connected client, else 127.0.0.1' },
    listener: { value: 'NAME', help: 'at which listener; else that of the connected client, else tcp' },
    qos: { value: '0|1|2', help: 'quality of service; else 1' },
    retain: { help: 'a publish with the retain flag' },
    group: { value: 'NAME', multiple: true, help: 'as if the login had brought this group, too' },
    role: { value: 'NAME', multiple: true, help: 'as if the login had brought this role, too' },
    attribute: { value: 'NAME=VALUE', multiple: true, help: 'as if the user had this attribute' },
    at: { value: 'TIME', help: 'for this moment, such as 2026-12-31T18:00:00Z; else now' },
    files: { help: 'ask the files, also when a broker runs' },
    json: { help: 'the answer as JSON' },
    config: { value: 'FILE', short: 'c', help: 'the config file' },
  },
  positionalsMax: 4,

  async run(input) {
    const [word, ...rest] = input.positionals
    if (word === 'test') return test(input, rest)
    if (word !== 'explain') throw new UsageError('say what: explain, or test', help)
    const question = questionOf(input, rest)
    const answered = await ask(input, question)
    process.stdout.write(
      input.isSet('json') ? `${JSON.stringify(answered, null, 2)}\n` : answerText(question, answered),
    )
    return 0
  },
}

async function ask(input: Input, question: Question): Promise<Answered> {
  const path = configPath(input.text('config'))
  const answered = input.isSet('files') ? undefined : await askRunning(path, { do: 'acl explain', question })
  if (answered !== undefined) return answered as Answered
  const { book, unasked } = await accessFiles(path)
  return answer(book, question, [], unasked)
}

async function test(input: Input, [path, ...more]: string[]): Promise<number> {
  if (path === undefined || more.length > 0) throw new UsageError('name one file with the table', help)
  const { book } = await accessFiles(configPath(input.text('config')))
  const { file, problems } = await readYamlFile(path, accessTestSchema, { env: process.env })
  if (file === undefined) {
    throw new OrioleError('ORI_CONFIG_INVALID', problems.map(formatProblem).join('\n'), { cause: problems })
  }
  const { asked, differences } = runAccessTest(file, book)
  for (const difference of differences) process.stdout.write(`${difference}\n`)
  process.stdout.write(`${asked - differences.length} of ${asked} as expected\n`)
  return differences.length === 0 ? 0 : 1
}

function questionOf(input: Input, [user, action, topic, ...more]: string[]): Question {
  if (user === undefined || topic === undefined || more.length > 0)
    throw new UsageError('say USER publish|subscribe TOPIC', help)
  if (action !== 'publish' && action !== 'subscribe')
    throw new UsageError(`"${action}" is neither publish nor subscribe`, help)
  const given = {
    clientId: input.text('client'),
    address: input.text('address'),
    listener: input.text('listener'),
    qos: input.number('qos', 0, 2),
    groups: listed(input, 'group'),
    roles: listed(input, 'role'),
    attributes: attributesOf(input.texts('attribute')),
    atMs: timeOf(input.text('at')),
  }
  const set = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
  const question: Question = { user, action, topic, retain: input.isSet('retain'), ...set }
  const mistake = questionMistake(question)
  if (mistake !== undefined) throw new UsageError(mistake, help)
  return question
}

function listed(input: Input, name: string): readonly string[] | undefined {
  return input.isSet(name) ? input.texts(name) : undefined
}

function attributesOf(pairs: readonly string[]): Readonly<Record<string, string>> | undefined {
  if (pairs.length === 0) return undefined
  return Object.fromEntries(
    pairs.map((pair) => {
      const end = pair.indexOf('=')
      if (end < 1) throw new UsageError(`--attribute: "${pair}" is not NAME=VALUE`, help)
      return [pair.slice(0, end), pair.slice(end + 1)]
    }),
  )
}

function timeOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const atMs = Date.parse(text)
  if (Number.isFinite(atMs)) return atMs
  throw new UsageError(`--at: "${text}" is no time such as 2026-12-31T18:00:00Z`, help)
}

function answerText({ action, topic, qos = 1, retain }: Question, answered: Answered): string {
  const { allow, explanation, identity, clientId, steps, isLive, notes } = answered
  const { because, expanded, maxQos, withheld = [], nearest } = explanation
  const lines: [string, string][] = [
    [allow ? 'allowed' : 'denied', `${action} ${topic}${retain ? ', retained' : ''}, qos ${qos}`],
    ['user', `${identity.username || '(no name)'}, client id ${clientId}${isLive ? ', connected' : ''}`],
    ['groups', identity.groups.join(', ') || '(none)'],
    ['roles', identity.roles.join(', ') || '(none)'],
    ['because', because],
  ]
  if (expanded !== undefined) lines.push(['reads', expanded])
  for (const step of steps) lines.push(['through', step])
  if (maxQos !== undefined && maxQos < qos) lines.push(['granted', `up to qos ${maxQos}`])
  for (const one of withheld) lines.push(['withheld', one])
  if (nearest !== undefined) lines.push(['nearest', `${nearest.because}: ${nearest.lacks.join('; ')}`])
  for (const note of notes) lines.push(['note', note])
  return lines.map(([name, text]) => `${name.padEnd(9)} ${text}\n`).join('')
}
