// The rows of the tables of issues 4 and 5, with what each asks for, in the order of the report.
import type { Row } from './row.ts'
import { deliveryRows } from './rows/delivery.ts'

export const rows: readonly Row[] = [...deliveryRows]
