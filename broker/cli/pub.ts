// `oriole pub`: sends one message.
import type { IClientPublishOptions } from 'mqtt'
import { errorText } from '../errors.ts'
import { type Command, type Input, UsageError } from './command.ts'
import { deadline } from './deadline.ts'
import { CommandError } from './fail.ts'
import { type Connected, connect, connectionOptions, readFileNamed, reasonText } from './mqtt-client.ts'
import { readStdin } from './secret-input.ts'

/** The largest that MQTT can carry, header and topic not counted. */
const payloadMaxBytes = 268_435_455
const help = 'oriole pub --help'

export const command: Command = {
  summary: 'send a message',
  usage: '-t TOPIC [-m TEXT | -f FILE] [OPTIONS]',
  details: `
Without -m and -f the message is what comes on standard input.

  oriole pub -u alice -t im/u/bob/alice -m 'Hello Bob' -q 1`,
  options: {
    topic: { short: 't', value: 'TOPIC', help: 'where to' },
    message: { short: 'm', value: 'TEXT', help: 'the message' },
    file: { short: 'f', value: 'FILE', help: 'the message is what stands in the file' },
    qos: {
      short: 'q',
      value: 'QOS',
      help: '0, 1 or 2; default 0. With 1 and 2 it waits until the broker has stored it',
    },
    retain: { short: 'r', help: 'the broker keeps it as the last value of the topic' },
    ...connectionOptions,
    'user-property': { value: 'NAME=TEXT', multiple: true, help: 'MQTT 5; may stand several times' },
    'content-type': { value: 'TEXT', help: 'MQTT 5' },
    'response-topic': { value: 'TOPIC', help: 'MQTT 5: where an answer is expected' },
    'correlation-data': { value: 'TEXT', help: 'MQTT 5: what the answer is to carry' },
    'message-expiry': { value: 'SECONDS', help: 'MQTT 5: nobody wants it after that' },
  },
  positionalsMax: 0,

  async run(input) {
    const topic = input.text('topic')
    if (topic === undefined) throw new UsageError('name the topic: -t TOPIC', help)
    if (topic === '' || /[+#]/.test(topic)) throw new UsageError(`-t: "${topic}" is no topic to send to`, help)
    const qos = (input.number('qos', 0, 2) ?? 0) as 0 | 1 | 2
    const properties = readProperties(input)
    const payload = await readPayload(input)
    const connected = await connect(input, 'pub')
    try {
      if (properties !== undefined && connected.version !== 5) throw new UsageError('properties need -V 5', help)
      const options = { qos, retain: input.isSet('retain'), ...(properties === undefined ? {} : { properties }) }
      const overdue = deadline(input, 'the broker did not acknowledge the message')
      await Promise.race([publish(connected, topic, payload, options), connected.lost, overdue])
    } finally {
      await connected.end()
    }
    return 0
  },
}

function publish({ client }: Connected, topic: string, payload: Buffer, options: IClientPublishOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    client.publish(topic, payload, options, (error) => {
      if (error == null) return resolve()
      const { code } = error as { code?: unknown }
      const why = typeof code === 'number' ? reasonText(code) : errorText(error)
      reject(new CommandError(`the broker refused the message to ${topic}: ${why}`, { cause: error }))
    })
  })
}

async function readPayload(input: Input): Promise<Buffer> {
  const text = input.text('message')
  const file = input.text('file')
  if (text !== undefined && file !== undefined) throw new UsageError('either -m or -f', help)
  if (text !== undefined) return Buffer.from(text)
  if (file !== undefined) return readFileNamed(file, '--file')
  if (process.stdin.isTTY) process.stderr.write('Type the message; Ctrl-D ends it.\n')
  return readStdin(payloadMaxBytes)
}

function readProperties(input: Input): IClientPublishOptions['properties'] | undefined {
  const userProperties: Record<string, string | string[]> = {}
  for (const pair of input.texts('user-property')) {
    const at = pair.indexOf('=')
    if (at < 1) throw new UsageError(`--user-property: "${pair}" is no NAME=TEXT`, help)
    const [name, value] = [pair.slice(0, at), pair.slice(at + 1)]
    const before = userProperties[name]
    userProperties[name] = before === undefined ? value : [before, value].flat()
  }
  const contentType = input.text('content-type')
  const responseTopic = input.text('response-topic')
  const correlationData = input.text('correlation-data')
  const messageExpiryInterval = input.number('message-expiry', 0, 0xffff_ffff)
  const properties = {
    ...(Object.keys(userProperties).length === 0 ? {} : { userProperties }),
    ...(contentType === undefined ? {} : { contentType }),
    ...(responseTopic === undefined ? {} : { responseTopic }),
    ...(correlationData === undefined ? {} : { correlationData: Buffer.from(correlationData) }),
    ...(messageExpiryInterval === undefined ? {} : { messageExpiryInterval }),
  }
  return Object.keys(properties).length === 0 ? undefined : properties
}
