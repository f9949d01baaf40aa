// Where the repository lies, for tests that read its files: the tests run compiled, from dist/test/.
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** The working folder of the test run, or the nearest one above with our package.json and config/. */
export const repository = above(process.cwd())

function above(folder: string): string {
  if (existsSync(join(folder, 'package.json')) && existsSync(join(folder, 'config/oriole.yaml'))) return folder
  const parent = dirname(folder)
  if (parent === folder) throw new Error('run the tests from the folder of the repository')
  return above(parent)
}
