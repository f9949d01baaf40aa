// Error codes: the list in the code and the page that explains them say the same.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { errorCodes } from '../../broker/errors.ts'
import { repository } from '../helpers/repository.ts'

test('errors: each code is explained in docs/errors.md, and nothing else is', async () => {
  const page = await readFile(join(repository, 'docs/errors.md'), 'utf8')
  const sections = page.split(/^## /m).slice(1)
  assert.deepEqual(
    sections.map((section) => section.split('\n')[0]),
    [...errorCodes],
  )
  for (const section of sections) assert.match(section, /\nWay out: \S/, section)
})
