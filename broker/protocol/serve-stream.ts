// The events of a stream, told to its connection.
import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { TLSSocket } from 'node:tls'
import { errorText } from '../errors.ts'

/** Who serves a stream. */
export interface StreamOwner {
  received(chunk: Buffer): void
  /** The stream has ended, or broke. */
  lost(phrase: string): void
  /** It is closed, and nothing more comes of it. */
  closedForGood(): void
}

/** One property of the stream and one function for each event: closures of its own were 500 bytes of a connection. */
const ofStream = Symbol('owner')
type ServedStream = Duplex & { [ofStream]?: StreamOwner }

export function serveStream(stream: Duplex, owner: StreamOwner): void {
  ;(stream as ServedStream)[ofStream] = owner
  stream.on('data', onData)
  stream.on('error', onError)
  stream.on('end', onEnd)
  stream.on('close', onClose)
}

/** All that it was given lies in the kernel, which sends it before the end; TLS and WebSocket have a goodbye of their own. */
export function isWritten(stream: Duplex): boolean {
  return stream.writableLength === 0 && stream instanceof Socket && !(stream instanceof TLSSocket)
}

function onData(this: ServedStream, chunk: Buffer): void {
  this[ofStream]?.received(chunk)
}

function onError(this: ServedStream, error: Error): void {
  this[ofStream]?.lost(errorText(error))
}

function onEnd(this: ServedStream): void {
  this[ofStream]?.lost('closed by the client')
}

function onClose(this: ServedStream): void {
  this[ofStream]?.lost('connection lost')
  this[ofStream]?.closedForGood()
}
