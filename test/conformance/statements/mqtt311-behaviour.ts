// MQTT 3.1.1, 4, 6 and 7. Agent n writes these statements now; the tests mqtt311-*.test.ts stay with who writes them.
import type { Statement } from '../statement.ts'

export const behaviour311: readonly Statement[] = []
