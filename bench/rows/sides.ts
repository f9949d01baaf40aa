// The sides that most rows have: one broker, started fresh, under one load of the generator.
import { startAedes, startAedesLevel } from '../brokers/aedes.ts'
import type { BrokerOptions, RunningBroker, StartBroker } from '../brokers/broker.ts'
import { startMosquitto } from '../brokers/mosquitto.ts'
import { startOriole } from '../brokers/oriole.ts'
import type { Bench, Side } from '../row.ts'
import type { Scope } from '../scope.ts'

export interface LoadOptions {
  readonly broker?: BrokerOptions
  /** What is done to the fresh broker before it is measured. */
  readonly before?: (bench: Bench, scope: Scope, broker: RunningBroker) => Promise<void>
  /** Arguments that only the running broker can tell. */
  readonly more?: (broker: RunningBroker, bench: Bench) => readonly string[]
}

export type MakeSide = (args: readonly string[], options?: LoadOptions) => Side

export const oriole: MakeSide = sideOf('Oriole', startOriole)
export const mosquitto: MakeSide = sideOf('mosquitto', startMosquitto, true)
export const aedes: MakeSide = sideOf('aedes', startAedes, true)
export const aedesLevel: MakeSide = sideOf('aedes with level', startAedesLevel, true)

/** Oriole compared with itself under another name. */
export function orioleAs(name: string): MakeSide {
  return sideOf(name, startOriole)
}

export function sideOf(name: string, start: StartBroker, peer = false): MakeSide {
  return (args, options = {}) => ({
    name,
    peer,
    async measure(bench, scope) {
      const broker = await start(bench, scope, options.broker)
      await options.before?.(bench, scope, broker)
      const more = options.more?.(broker, bench) ?? []
      const sample = await bench.generator.load(scope, broker, [...args, ...more, '--seconds', String(bench.seconds)])
      await broker.stop()
      return sample
    },
  })
}
