// How late the event loop is, over the last ten seconds: for /metrics and for the limit on new connections.
import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks'

const windowMs = 10_000
/** A timer of this period is watched; its own lateness is what is measured, so the period is taken off. */
const resolutionMs = 10

export interface LoopDelaySeconds {
  readonly p50: number
  readonly p99: number
  readonly max: number
}

export class LoopDelay {
  readonly #histogram: IntervalHistogram = monitorEventLoopDelay({ resolution: resolutionMs })
  readonly #window: NodeJS.Timeout
  #last: LoopDelaySeconds | undefined

  constructor() {
    this.#histogram.enable()
    this.#window = setInterval(() => {
      this.#last = this.#read()
      this.#histogram.reset()
    }, windowMs).unref()
  }

  /** The last full window of ten seconds; before there is one, the time since the start. */
  get seconds(): LoopDelaySeconds {
    return this.#last ?? this.#read()
  }

  /** The last full window; undefined before there is one: a start, or a single pause, is no lasting load. */
  get lastingSeconds(): LoopDelaySeconds | undefined {
    return this.#last
  }

  stop(): void {
    clearInterval(this.#window)
    this.#histogram.disable()
  }

  #read(): LoopDelaySeconds {
    const histogram = this.#histogram
    // Without a sample the maximum is 0 and the percentiles are those of nothing.
    if (histogram.max === 0) return { p50: 0, p99: 0, max: 0 }
    return {
      p50: lateness(histogram.percentile(50)),
      p99: lateness(histogram.percentile(99)),
      max: lateness(histogram.max),
    }
  }
}

function lateness(nanoseconds: number): number {
  return Math.max(0, nanoseconds / 1e9 - resolutionMs / 1e3)
}
