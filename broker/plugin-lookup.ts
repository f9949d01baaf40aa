// From an entry of `plugins:` to the plugin: a shipped name, a path beside the config file, or an npm package.
import { access, readdir } from 'node:fs/promises'
import { createRequire, isBuiltin } from 'node:module'
import { dirname, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { didYouMean } from './config/nearest.ts'
import { errorText } from './errors.ts'
import type { Plugin } from './plugin.ts'

/** The plugin, or in plain words why there is none. */
export type FoundPlugin = { readonly plugin: Plugin } | { readonly problem: string }

/** The plugins that come with the broker, built beside it. */
const shippedFolder = new URL('../plugins/', import.meta.url)
const packageName = /^(?:@[a-z0-9~-][a-z0-9._~-]*\/)?[a-z0-9~-][a-z0-9._~-]*$/

/** Runs the module: a plugin is code that the admin named. */
export async function findPlugin(name: string, configPath: string): Promise<FoundPlugin> {
  const isPath = name.startsWith('.') || name.startsWith('/')
  if (isPath) return findByPath(name, resolve(dirname(configPath), name))
  const shipped = await shippedNames()
  if (shipped.includes(name)) return importPlugin(name, new URL(`${name}.js`, shippedFolder).href)
  return findPackage(name, configPath, shipped)
}

export async function shippedNames(): Promise<string[]> {
  const files = await readdir(shippedFolder)
  return files.flatMap((file) => (file.endsWith('.js') ? [file.slice(0, -'.js'.length)] : [])).sort()
}

async function findByPath(name: string, path: string): Promise<FoundPlugin> {
  try {
    await access(path)
  } catch {
    // Whatever the cause, the way out is the same: name a file that can be read.
    return { problem: `there is no file ${path} for the plugin "${name}"` }
  }
  return importPlugin(name, pathToFileURL(path).href)
}

async function findPackage(name: string, configPath: string, shipped: readonly string[]): Promise<FoundPlugin> {
  const unknown = {
    problem: `there is no plugin "${name}"${didYouMean(name, shipped) || `; there are ${shipped.join(', ')}, a path, or an installed package`}`,
  }
  if (!packageName.test(name) || isBuiltin(name)) return unknown
  // A package that stands beside the config file first, then one that stands beside the broker.
  for (const locate of [() => pathToFileURL(createRequire(resolve(configPath)).resolve(name)).href, () => name]) {
    try {
      return await importPlugin(name, locate())
    } catch (error) {
      if (!isNotFound(error)) throw error
    }
  }
  return unknown
}

/** Throws only when there is no such package. */
async function importPlugin(name: string, specifier: string): Promise<FoundPlugin> {
  let module: { readonly default?: unknown; readonly plugin?: unknown }
  try {
    module = (await import(specifier)) as typeof module
  } catch (error) {
    if (isNotFound(error) && errorText(error).includes(`'${name}'`)) throw error
    return { problem: `the plugin "${name}" cannot be loaded: ${errorText(error)}` }
  }
  const exported = module.default ?? module.plugin
  if (isPlugin(exported)) return { plugin: exported }
  return {
    problem: `"${name}" is no plugin: it must export definePlugin({ name, config, setup }) as default or as "plugin"`,
  }
}

function isPlugin(value: unknown): value is Plugin {
  if (typeof value !== 'object' || value === null) return false
  const { name, config, setup } = value as Partial<Record<keyof Plugin, unknown>>
  const isSchema = typeof config === 'object' && config !== null && '_zod' in config
  return typeof name === 'string' && name !== '' && isSchema && typeof setup === 'function'
}

function isNotFound(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException | undefined)?.code
  return code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND' || code === 'ERR_PACKAGE_PATH_NOT_EXPORTED'
}
