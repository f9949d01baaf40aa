// A message as it crosses to another node.
import type { Message } from '../message.ts'
import { ByteReader, ByteWriter } from '../store/bytes.ts'
import { readMessage, writeMessage } from '../store/message-bytes.ts'

const writer = new ByteWriter()

export function messageToBytes(message: Message): Buffer {
  writeMessage(writer.reset(), message)
  return writer.finish(0)
}

/** The payload is a view into `bytes`. Throws when it is no message. */
export function messageFromBytes(bytes: Buffer): Message {
  return readMessage(new ByteReader(bytes, 0))
}
