// The order of numbered messages, of which some may have come again.
import assert from 'node:assert/strict'

/**
 * Each number from 0 on came, and none came for the first time after a later one. Returns how many came again. Throws
 * AssertionError otherwise.
 */
export function checkOrder(name: string, numbers: readonly number[], published: number): number {
  const first = [...new Set(numbers)]
  for (const [index, number] of first.entries()) {
    assert.equal(number, index, `${name}: message ${number} came where ${index} was due`)
  }
  assert.equal(first.length, published, `${name}: so many messages came`)
  return numbers.length - first.length
}
