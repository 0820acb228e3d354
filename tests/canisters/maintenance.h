/* Maintenance: a controller stops the application's updates for a while, by a lease that ends by
 * itself when its holder does not come back. Methods: maintenance_pause, maintenance_renew,
 * maintenance_resume and maintenance_status, for controllers. They need convention.c, live.c and
 * what these need.
 *
 * Each update method of the application begins with maintenance_require. One that awaits calls is
 * in flight until it is done: what began before a pause goes on, and whoever paused waits until
 * in_flight is 0.
 *
 * The lease is kept on the heap: an upgrade ends it, and its holder learns that from the next
 * maintenance_renew. The count of updates in flight begins at 0 again; stop the canister for an
 * upgrade, as the platform advises, and there are none.
 */
#ifndef CANISTERS_MAINTENANCE_H
#define CANISTERS_MAINTENANCE_H

#define MAINTENANCE_TTL_MAX_S 3600

/* Traps with words that contain "in maintenance" while a lease is held. */
void maintenance_require(void);

/* Around an update that awaits calls: enter in its method; leave when it has answered, and in the
 * cleanup callback of each of its calls. */
void maintenance_enter(void);
void maintenance_leave(void);

#endif
