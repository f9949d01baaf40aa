// How long this process worked, in milliseconds: on a free core the time of the clock, and other processes do not count.

export function processorMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}
