// Brings a folder with everything in it to the disk.
import { open, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { syncFolder } from './marker.ts'

export async function syncTree(path: string): Promise<void> {
  for (const entry of await readdir(path, { withFileTypes: true })) {
    const entryPath = join(path, entry.name)
    if (entry.isDirectory()) await syncTree(entryPath)
    else if (entry.isFile() && entry.name !== 'LOCK') await syncFile(entryPath)
  }
  await syncFolder(path)
}

async function syncFile(path: string): Promise<void> {
  const file = await open(path, 'r')
  try {
    await file.sync()
  } finally {
    await file.close()
  }
}
