// A process of its own: puts with sync into `level`, one after the other; prints how many a second.
import { Level } from 'level'

const [folder, seconds] = process.argv.slice(2)
const level = new Level<string, Buffer>(`${folder}/level`, { valueEncoding: 'buffer' })
await level.open()
const value = Buffer.alloc(100, 'x')
let puts = 0
await putFor(0.5)
puts = 0
const measuredS = await putFor(Number(seconds))
process.stdout.write(`${puts / measuredS}\n`)
await level.close()

async function putFor(atLeastS: number): Promise<number> {
  const start = performance.now()
  while (performance.now() - start < atLeastS * 1_000) {
    await level.put(`message ${String(puts).padStart(12, '0')}`, value, { sync: true })
    puts += 1
  }
  return (performance.now() - start) / 1_000
}
