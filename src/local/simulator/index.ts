export { createSchedule, type Schedule, type ScheduleOptions, type TimedPacket } from './schedule.ts'
export { createSimulator, SIMULATOR_LISTS, type Simulator, type SimulatorOptions } from './simulator.ts'
export type { SimulatorCounters } from './writer.ts'
