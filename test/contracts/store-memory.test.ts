// The memory store passes the suite of the store contract.
import { createMemoryStore } from '../../broker/store/memory.ts'
import { testHistory, testLimits } from '../helpers/store.ts'
import { storeContract } from './store.ts'

storeContract('memory store', async (t) => {
  const store = createMemoryStore(testLimits, testHistory)
  await store.open()
  t.after(() => store.close())
  return { store }
})
