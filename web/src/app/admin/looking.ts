/** Pages on which administrators look at what was done, in one file: see `everybody.ts`. */
export { HistoryPage } from './history-page';
export { AdminRequestsPage } from './requests-page';
export { StatisticsPage } from './statistics-page';
