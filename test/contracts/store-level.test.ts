// The LevelDB store passes the suite of the store contract, with each durability.
import type { Durability } from '../../broker/store/commit.ts'
import { createLevelStore } from '../../broker/store/level.ts'
import type { Store } from '../../broker/store/store.ts'
import { makeFolder, recordLog, testHistory, testLimits } from '../helpers/store.ts'
import { storeContract } from './store.ts'

for (const durability of ['disk', 'os', 'memory'] satisfies Durability[]) {
  storeContract(`level store, durability ${durability}`, async (t) => {
    const path = await makeFolder(t)
    const make = () =>
      createLevelStore({ path, durability, limits: testLimits, history: testHistory, log: recordLog() })
    let current: Store = make()
    await current.open()
    t.after(() => current.close())
    const reopen = async () => {
      await current.close()
      current = make()
      return { recovered: await current.open(), store: current }
    }
    return { store: current, reopen }
  })
}
