// MQTT 3.1.1, 1, 2, 3.1 and 3.2. Agent n writes these statements now; the tests mqtt311-*.test.ts stay with who writes them.
import type { Statement } from '../statement.ts'

export const connect311: readonly Statement[] = []
