// MQTT 3.1.1, 3.3 to 3.14. Agent n writes these statements now; the tests mqtt311-*.test.ts stay with who writes them.
import type { Statement } from '../statement.ts'

export const messages311: readonly Statement[] = []
