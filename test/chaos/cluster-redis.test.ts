// A short version of `npm run chaos -- cluster-redis`.
import { test } from 'node:test'
import { seeded } from '../helpers/random.ts'
import { clusterRedisRun } from './cluster-redis.ts'

test('chaos: Redis is killed and hangs under load, and nothing acknowledged is lost', {
  timeout: 120_000,
}, async (t) => {
  const options = { times: 3, awayS: 3, betweenS: 2, perS: 300, slackMs: 500 }
  t.diagnostic(JSON.stringify(await clusterRedisRun(t, seeded(t), options)))
})
