// Every command of the shell, said once: the handler is made from it and, by the build script, the permissions. What is not
// allowed in capabilities/main.json as well, the page cannot call.

/// Hands the list to the macro `$take`.
macro_rules! with_commands {
    ($($take:tt)+) => {
        $($take)+! [
            commands::service::watch,
            commands::service::service_start,
            commands::service::stream_close,
            commands::service::vm_start,
            commands::service::vm_stop,
            commands::system::open_external,
            commands::system::show_in_folder,
            commands::system::pick_folder,
            commands::system::pick_file,
            commands::system::save_file,
            commands::containers::containers_list,
            commands::run::container_run,
            commands::containers::container_start,
            commands::containers::container_stop,
            commands::containers::container_remove,
            commands::containers::container_logs,
            commands::images::images_list,
            commands::images::image_pull,
            commands::images::image_remove,
        ]
    };
}
