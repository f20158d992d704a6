//! Images that cannot be had.

use super::*;
use crate::actors::kubelet::ImageFault;

#[tokio::test]
async fn every_fault_of_a_pull_has_its_words_and_ends_with_its_cause() {
    let stage = stage();
    let faults = [
        (ImageFault::Missing, "docker.io/library/tools:1: not found"),
        (ImageFault::Forbidden, "403 Forbidden"),
        (ImageFault::RateLimited, "toomanyrequests"),
        (ImageFault::WrongPlatform, "no match for platform in manifest"),
        (ImageFault::NoSpace, "no space left on device"),
        (ImageFault::Unreachable, "no such host"),
    ];
    for (at, (fault, words)) in faults.into_iter().enumerate() {
        let name = format!("p{at}");
        let image = format!("r.test/m{at}:1");
        let known = Order::Image { name: image.clone(), image: Image::default() };
        stage.order(known);
        stage.order(Order::ImageFault { name: image.clone(), fault: Some(fault.clone()) });
        stage.put(pod(&name, &image, json!({})));
        let words = words.replace("docker.io/library/tools", &format!("r.test/m{at}"));
        let failed =
            stage.until(&name, |pod| main_state(pod)["waiting"]["reason"] == "ErrImagePull").await;
        let said = main_state(&failed)["waiting"]["message"].as_str().unwrap();
        assert!(said.starts_with("rpc error: code = ") && said.contains(&words), "{said}");
        let rests = stage
            .until(&name, |pod| main_state(pod)["waiting"]["reason"] == "ImagePullBackOff")
            .await;
        let said = main_state(&rests)["waiting"]["message"].as_str().unwrap();
        let start = format!("Back-off pulling image {image:?}: ErrImagePull: rpc error");
        assert!(said.starts_with(&start), "{said}");
        assert_eq!(rests["status"]["phase"], "Pending");
        stage.order(Order::ImageFault { name: image, fault: None });
        stage.until(&name, is_ready).await;
    }
    let failed = stage.events("Failed");
    assert!(failed.contains(&"Error: ErrImagePull".to_owned()));
    assert!(failed.iter().any(|one| one.starts_with("Failed to pull image \"r.test/m0:1\": rpc")));
}

#[tokio::test]
async fn an_image_that_nobody_knows_is_missing_and_a_bad_name_is_told() {
    let stage = stage();
    stage.put(pod("p", "nobody/knows:1", json!({})));
    let failed =
        stage.until("p", |pod| main_state(pod)["waiting"]["reason"] == "ErrImagePull").await;
    let said = main_state(&failed)["waiting"]["message"].as_str().unwrap();
    assert!(said.starts_with("rpc error: code = NotFound"), "{said}");
    stage.put(pod("q", "Not/An Image", json!({})));
    let failed =
        stage.until("q", |pod| main_state(pod)["waiting"]["reason"] == "InvalidImageName").await;
    let said = main_state(&failed)["waiting"]["message"].as_str().unwrap();
    assert!(said.ends_with("invalid reference format"), "{said}");
    let mut never = pod("r", "pause:1", json!({}));
    never["spec"]["containers"][0]["imagePullPolicy"] = json!("Never");
    stage.put(never);
    let failed =
        stage.until("r", |pod| main_state(pod)["waiting"]["reason"] == "ErrImageNeverPull").await;
    assert_eq!(
        main_state(&failed)["waiting"]["message"],
        r#"Container image "pause:1" is not present with pull policy of Never"#
    );
    stage.delete("q", 30);
    stage.until_gone("q").await;
}

#[tokio::test]
async fn a_pull_that_hangs_is_creating_and_one_that_was_done_is_not_done_again() {
    let stage = stage();
    stage.order(Order::ImageFault { name: "pause:1".into(), fault: Some(ImageFault::Hangs) });
    stage.put(pod("p", "pause:1", json!({})));
    tokio::time::sleep(Duration::from_millis(300)).await;
    let waits = stage.get("p").unwrap();
    assert_eq!(main_state(&waits)["waiting"]["reason"], "ContainerCreating");
    assert_eq!(stage.events("Pulling").len(), 1);
    stage.order(Order::ImageFault { name: "pause:1".into(), fault: None });
    stage.until("p", is_ready).await;
    stage.put(pod("q", "pause:1", json!({})));
    stage.until("q", is_ready).await;
    assert_eq!(stage.events("Pulling").len(), 1);
    let said = r#"Container image "pause:1" already present on machine"#.to_owned();
    assert!(stage.events("Pulled").contains(&said));
}

#[tokio::test]
async fn a_tag_that_moves_shows_another_digest() {
    let stage = stage();
    let image = |digit: &str| {
        let digest = Some(format!("sha256:{}", digit.repeat(64)));
        Order::Image { name: "m".into(), image: Image { digest, ..Image::default() } }
    };
    for (name, digit) in [("p", "1"), ("q", "2")] {
        stage.order(image(digit));
        stage.put(pod(name, "m", json!({})));
        let pod = stage.until(name, is_ready).await;
        let id = format!("docker.io/library/m@sha256:{}", digit.repeat(64));
        assert_eq!(pod["status"]["containerStatuses"][0]["imageID"], id);
    }
}

#[tokio::test]
async fn a_secret_that_is_missing_and_a_container_that_is_not_made_hold_a_pod() {
    let stage = stage();
    let mut one = pod("p", "pause:1", json!({}));
    one["spec"]["containers"][0]["envFrom"] = json!([{ "secretRef": { "name": "s" } }]);
    stage.put(one);
    let waits = stage
        .until("p", |pod| main_state(pod)["waiting"]["reason"] == "CreateContainerConfigError")
        .await;
    assert_eq!(main_state(&waits)["waiting"]["message"], r#"secret "s" not found"#);
    let secret = json!({ "metadata": { "namespace": "a", "name": "s" } });
    stage.objects.create(&Resource::secrets(), secret).unwrap();
    stage.until("p", is_ready).await;
    let (reason, message) =
        ("RunContainerError".to_owned(), "context deadline exceeded".to_owned());
    let fault = Some(ImageFault::NotMade { reason, message });
    stage.order(Order::ImageFault { name: "tools:1".into(), fault });
    stage.put(shell("q", "sleep 60"));
    stage.until("q", |pod| main_state(pod)["waiting"]["reason"] == "RunContainerError").await;
}
