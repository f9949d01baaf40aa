// One log line a second for each kind of refusal, with the number of those left out: an attack must not fill the disk.
import type { PluginLog } from '../plugin.ts'
import { type ConnectionRefusal, connectionRefusals } from './listener.ts'

const intervalMs = 1000

export class RefusalLog {
  readonly #log: PluginLog
  readonly #listener: string
  /** At most one entry for each kind of refusal. */
  readonly #lastByReason = new Map<ConnectionRefusal, { at: number; left: number }>()

  constructor(log: PluginLog, listener: string) {
    this.#log = log
    this.#listener = listener
  }

  /** `detail`: a short phrase without anything secret; control characters are replaced. */
  note(reason: ConnectionRefusal, address: string, detail: string | undefined): void {
    const now = performance.now()
    const last = this.#lastByReason.get(reason)
    if (last !== undefined && now - last.at < intervalMs) {
      last.left++
      return
    }
    this.#lastByReason.set(reason, { at: now, left: 0 })
    const fields = {
      listener: this.#listener,
      address,
      reason,
      detail: detail && printable(detail),
      before: last?.left,
    }
    this.#log[connectionRefusals[reason]](fields, 'connection refused')
  }
}

function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?').slice(0, 200)
}
