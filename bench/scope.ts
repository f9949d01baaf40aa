// What was acquired for one measurement is released after it, the last first, whatever happened.

export class Scope {
  readonly #releases: (() => unknown)[] = []

  after(release: () => unknown): void {
    this.#releases.push(release)
  }

  async end(): Promise<void> {
    for (let release = this.#releases.pop(); release !== undefined; release = this.#releases.pop()) await release()
  }
}

/** Runs the work with a scope of its own. */
export async function scoped<T>(work: (scope: Scope) => Promise<T>): Promise<T> {
  const scope = new Scope()
  try {
    return await work(scope)
  } finally {
    await scope.end()
  }
}
