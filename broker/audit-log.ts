// Who came in, who was refused, whose rights changed, what an admin did: log lines with the field `audit`. Refusals are
// sampled under load, because whoever is refused decides how many there are; metrics count them all.
import type { PluginLog } from './plugin.ts'

export type AuditKind = 'login' | 'refusal' | 'rights' | 'admin'

/** Lines a second of one phrase; what is left out is told a second later. */
const refusalsPerS = 20
const secondMs = 1_000

interface Count {
  written: number
  leftOut: number
}

/** The same log; of its refusals only so many are written. */
export function withSampledRefusals(log: PluginLog): PluginLog {
  const counts = new Map<string, Count>()
  let isCounting = false

  const tellLeftOut = (): void => {
    isCounting = false
    for (const [phrase, { leftOut }] of counts) {
      if (leftOut > 0) log.info({ audit: 'refusal' satisfies AuditKind, leftOut }, phrase)
    }
    counts.clear()
  }

  return {
    debug: (fields, phrase) => log.debug(fields, phrase),
    warn: (fields, phrase) => log.warn(fields, phrase),
    error: (fields, phrase) => log.error(fields, phrase),
    info(fields, phrase) {
      if ((fields as { audit?: AuditKind }).audit !== 'refusal') return log.info(fields, phrase)
      // Phrases are constants, so these are few.
      const count = counts.get(phrase) ?? { written: 0, leftOut: 0 }
      counts.set(phrase, count)
      if (!isCounting) setTimeout(tellLeftOut, secondMs).unref()
      isCounting = true
      if (count.written < refusalsPerS) {
        count.written += 1
        log.info(fields, phrase)
      } else count.leftOut += 1
    },
  }
}
