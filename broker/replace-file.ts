// Puts a file in the place of another: after a power cut there is the old one or the new one.
import { open, rename } from 'node:fs/promises'
import { dirname } from 'node:path'

/** Write, fsync, rename, fsync of the folder. As a rule the file is for its owner only. */
export async function replaceFile(path: string, content: string, mode = 0o600): Promise<void> {
  const file = await open(`${path}.new`, 'w', mode)
  try {
    await file.writeFile(content)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(`${path}.new`, path)
  const folder = await open(dirname(path), 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}
