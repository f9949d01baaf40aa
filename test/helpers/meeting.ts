// Meetings of nodes at a real Redis for tests, and waiting for what they tell.
import type { Meeting, Member, MemberEvent } from '../../broker/cluster/meeting.ts'
import { createMeeting, type MeetingOptions, type RunningMeeting } from '../../broker/cluster/redis-meeting.ts'
import type { Cleanup } from './broker.ts'
import { type RecordedLog, recordLog } from './store.ts'

export const clusterKey = 'a key for all nodes of the test'

export interface TestMeeting extends RunningMeeting {
  readonly counts: { clusterFramesRefused: number; clusterFramesDropped: number }
  readonly log: RecordedLog
}

/** Its store id is the name's, so that the same name is the same store; closed after the test. */
export async function openMeeting(
  t: Cleanup,
  redis: { readonly port: number },
  node: string,
  more: Partial<Omit<MeetingOptions, 'config'>> & { readonly config?: Partial<MeetingOptions['config']> } = {},
): Promise<TestMeeting> {
  const counts = { clusterFramesRefused: 0, clusterFramesDropped: 0 }
  const log = recordLog()
  const meeting = await createMeeting({
    node,
    storeId: Buffer.from(node.padEnd(6).slice(0, 6)).readUIntBE(0, 6),
    log,
    counts,
    ...more,
    config: {
      name: 'test',
      key: clusterKey,
      redis: { host: '127.0.0.1', port: redis.port },
      serverReference: undefined,
      ...more.config,
    },
  })
  t.after(() => meeting.close())
  return Object.assign(meeting, { counts, log })
}

/** Resolves when each meeting has each other among its living. */
export async function allMet(...meetings: readonly Meeting[]): Promise<void> {
  await Promise.all(
    meetings.flatMap((meeting) =>
      meetings.filter((other) => other !== meeting).map((other) => met(meeting, other.self.node)),
    ),
  )
}

/** Resolves when `node` is among the living, with a run other than `notRun`. */
export function met(meeting: Meeting, node: string, notRun?: string): Promise<Member> {
  return new Promise((resolve) => {
    const look = (): void => {
      const found = meeting.live().find((member) => member.node === node && member.run !== notRun)
      if (found !== undefined) resolve(found)
    }
    meeting.onMember('joined', look)
    look()
  })
}

export function nextMember(meeting: Meeting, event: MemberEvent): Promise<Member> {
  return new Promise((resolve) => {
    meeting.onMember(event, resolve)
  })
}

export function isDown(meeting: Meeting): Promise<void> {
  return new Promise((resolve) => {
    meeting.on('down', resolve)
    if (!meeting.isUp) resolve()
  })
}

export function isUp(meeting: Meeting): Promise<void> {
  return new Promise((resolve) => {
    meeting.on('up', resolve)
  })
}
