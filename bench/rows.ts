// The rows of the tables of issues 4 to 7, with what each asks for, in the order of the report.
import type { Row } from './row.ts'
import { accessRows } from './rows/access.ts'
import { clusterRows } from './rows/cluster.ts'
import { connectionRows } from './rows/connections.ts'
import { deliveryRows } from './rows/delivery.ts'
import { scaleRows } from './rows/scale.ts'
import { storageRows } from './rows/storage.ts'

export const rows: readonly Row[] = [
  ...storageRows,
  ...scaleRows,
  ...deliveryRows,
  ...connectionRows,
  ...clusterRows,
  ...accessRows,
]
